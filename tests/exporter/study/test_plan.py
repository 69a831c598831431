"""Plans of a study that are refused."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.study import default_recipe

from tests.support.study import TINY


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 0}, "--seeds 0: expected 1 or more"),
        ({"lesion_limit": 0}, "--lesion-limit 0"),
        ({"depths": (8, 8)}, "--depths 8 8: expected different depths"),
        ({"depths": (9,)}, "depth 9 is not 6n\\+2"),
        ({"recipe": default_recipe("digits", 0)}, "--epochs 0: expected 1 or more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_plans_that_cannot_be_carried_out_are_refused(change: Mapping[str, object], message: str) -> None:
    with pytest.raises(ExporterError, match=message):
        replace(TINY, **change)  # type: ignore[arg-type]
