"""Page of a study: it stands alone and holds every question."""

import json
import re
from pathlib import Path


def test_the_page_fetches_nothing(finished: Path) -> None:
    text = (finished / "index.html").read_text()
    assert text.count("<svg") == 8
    addresses = re.findall(r"""(?:\bsrc|\bhref|\burl)\s*[=(]\s*["']?([^"')\s>]+)""", text)
    assert addresses
    assert {address for address in addresses if not address.startswith(("#", "data:"))} == set()
    assert "<script" not in text
    assert "@import" not in text
    for answer in json.loads((finished / "results.json").read_text())["answers"]:
        assert answer["question"] in text
