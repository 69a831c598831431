"""Counters of versions, over both clients."""

from typing import Any

import numpy as np
import numpy.typing as npt
import resprobe


def test_counters_count_images_requests_and_lesions(
    either: resprobe.Client, test_images: npt.NDArray[np.uint8]
) -> None:
    def ask() -> resprobe.Counters:
        (found,) = [one for one in either.counters() if (one.model, one.version) == ("digits", "1")]
        return found

    before = ask()
    options: dict[str, Any] = {"model": "digits", "version": 1}
    either.classify(test_images[:3], **options)
    either.classify(test_images[:2], blocks=True, **options)
    either.classify(test_images[:4], block_scale=[0, 1, 1], **options)
    after = ask()
    assert after.images - before.images == 9
    assert after.requests - before.requests == 3
    assert after.failed == before.failed
    assert after.seconds > before.seconds
    assert after.queue >= before.queue
    assert [(one.model, one.version) for one in either.counters()] == [
        (one.name, one.version) for one in either.models()
    ]
