"""Drift: the distance, the correction, false alarms, and the command against a real server."""

import dataclasses
import json
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pytest
import resprobe
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from resprobe._results.model import Baseline
from resprobe.analysis import Frame
from resprobe.analysis.drift import distances, holm

from tests.support.commands import Run
from tests.support.statistics import make

PROBABILITIES = np.array([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
values = hnp.arrays(np.float32, st.tuples(st.integers(1, 60), st.integers(1, 3)), elements=st.floats(0, 4, width=32))


def frame_of(ratio: npt.NDArray[np.float32], baseline: npt.NDArray[np.float32] | None) -> Frame:
    """A frame of a net with three blocks, whose baseline was measured on other values [m, 3]."""
    blocks, model = make(1, len(ratio), baseline=False)
    if baseline is not None:
        rows = np.quantile(baseline, PROBABILITIES, axis=0).T
        known = [MappingProxyType(dict(zip(PROBABILITIES.tolist(), row.tolist(), strict=True))) for row in rows]
        described = [
            dataclasses.replace(block, baseline=MappingProxyType({"ratio": Baseline(0, quantiles)}))
            for block, quantiles in zip(model.blocks, known, strict=True)
        ]
        model = dataclasses.replace(model, blocks=tuple(described), baseline_images=len(baseline))
    n = len(ratio)
    blocks = dataclasses.replace(blocks, ratio=ratio)
    zeros = np.zeros(n, np.int64)
    return Frame(model, "digits", np.arange(n), None, None, zeros, np.ones(n, np.float32), blocks)


def normal(n: int, seed: int, shift: float = 0) -> npt.NDArray[np.float32]:
    return np.exp(np.random.default_rng(seed).normal(shift, 0.2, (n, 3))).astype(np.float32)


@given(values, values)
def test_distance_is_a_distance_whatever_the_values(one: np.ndarray, other: np.ndarray) -> None:
    length = min(one.shape[1], other.shape[1])
    one, other = one[:, :length], other[:, :length]
    quantiles = np.quantile(one, PROBABILITIES, axis=0, method="inverted_cdf")
    found = distances(other, quantiles, PROBABILITIES)
    assert ((found >= 0) & (found <= 1)).all()
    assert np.array_equal(found, distances(np.random.default_rng(0).permutation(other), quantiles, PROBABILITIES))
    assert (distances(one, quantiles, PROBABILITIES) == 0).all()  # ties and all
    everywhere = np.concatenate([one, other])
    for place in range(length):  # the supremum over all values is an upper bound
        shares = [(part[:, place, None] <= everywhere[:, place]).mean(axis=0) for part in (one, other)]
        assert found[place] <= np.abs(shares[0] - shares[1]).max() + 1e-12


@pytest.mark.parametrize(("value", "distance"), [(np.inf, 0.99), (np.nan, 0.99), (0, 0.99), (5, 0.25)])
def test_distance_of_values_that_are_all_alike(value: float, distance: float) -> None:
    quantiles = np.linspace(2, 8, 7)[:, None]
    found = distances(np.full((9, 1), value), quantiles, PROBABILITIES)
    assert found[0] == pytest.approx(distance)


@given(hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1)))
def test_holm_is_between_none_and_bonferroni(p_values: np.ndarray) -> None:
    corrected = holm(p_values)
    assert (corrected >= p_values).all()
    assert (corrected <= np.minimum(p_values * len(p_values), 1) + 1e-12).all()
    assert corrected[p_values.argmin()] == pytest.approx(min(1, p_values.min() * len(p_values)))
    assert np.array_equal(np.sort(corrected), corrected[np.argsort(p_values, kind="stable")])


def test_clean_windows_are_silent_and_a_shift_is_found() -> None:
    baseline = normal(2000, 0)
    clean = [resprobe.drift(frame_of(normal(300, seed), baseline), threshold=0, alpha=0.05) for seed in range(1, 201)]
    assert sum(one.found for one in clean) <= 18  # 10 are allowed; more than 18 have a chance of 0.5 %
    moved = normal(300, 1)
    moved[:, 1] *= 1.2
    found = resprobe.drift(frame_of(moved, baseline))
    assert found.drifted.tolist() == [False, True, False]
    assert found.median[1] > found.baseline_median[1]
    rows = found.to_arrow().to_pylist()
    assert [row["block"] for row in rows if row["drifted"]] == ["stage2.block0"]
    assert rows[1]["distance"] == found.distance[1]
    assert "drifted=1 of 3" in repr(found)
    assert "stage2.block0" in found._repr_html_()


def test_few_images_are_never_certain() -> None:
    baseline = normal(2000, 0)
    limits = [resprobe.drift(frame_of(normal(n, 1, 9), baseline)).detectable for n in (1, 5, 50, 500)]
    assert limits == sorted(limits, reverse=True)
    assert not resprobe.drift(frame_of(normal(1, 1, 9), baseline)).found
    assert resprobe.drift(frame_of(normal(20, 1, 9), baseline)).found


def test_what_does_not_matter_is_no_drift_however_certain() -> None:
    baseline = normal(100_000, 0)
    found = resprobe.drift(frame_of(normal(100_000, 1, 0.02), baseline))
    assert (found.p_value < 1e-6).all()
    assert not found.found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistic": "size"}, "unknown statistic 'size'; there are branch_l2"),
        ({"alpha": 0}, "alpha 0: expected"),
        ({"threshold": 1}, "threshold 1: expected"),
        ({"statistic": "cosine"}, "has no baseline of cosine"),
        ({"model": make(3, 1)[1]}, "whose blocks are not net's"),
    ],
)
def test_what_cannot_be_tested(options: dict[str, object], message: str) -> None:
    with pytest.raises(resprobe.Error, match=message):
        resprobe.drift(frame_of(normal(9, 1), normal(9, 1)), **options)  # type: ignore[arg-type]


@pytest.fixture
def inverted(tmp_path: Path, test_images: npt.NDArray[np.uint8]) -> list[str]:
    paths = [str(tmp_path / f"{place}.png") for place in range(60)]
    for path, image in zip(paths, test_images, strict=False):
        Image.fromarray(255 - image[..., 0]).save(path)
    return paths


def test_the_command_says_it_with_its_exit_code(
    run: Run,
    address: str,
    inverted: list[str],
    tmp_path: Path,
) -> None:
    at = ["--address", address, "--model", "digits"]
    code, out, _ = run("resprobe", "drift", "--dataset", "digits", "--limit", "200", "--seed", "3", *at)
    assert (code, "no drift in 3 blocks: 200 images of digits against digits" in out) == (0, True)
    code, out, _ = run("resprobe", "drift", *inverted, *at)
    assert code == 1
    assert "drift in " in out
    assert "few images: chance explains distances up to 0." in out
    code, out, _ = run("resprobe", "drift", *inverted, *at, "--json")
    found = json.loads(out)
    assert (code, found["drift"], found["images"], found["baseline_images"]) == (1, True, 60, 360)
    stats = str(tmp_path / "stats.parquet")
    assert run("resprobe", "blocks", "--dataset", "digits", "--out", stats, *at)[0] == 0
    assert run("resprobe", "drift", "--stats", stats, "--address", "localhost:1")[0] == 0  # needs no server


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected picture files, --dataset or --stats"),
        (["--dataset", "digits", "--stats", "x.parquet"], "expected picture files, --dataset or --stats"),
        (["--stats", "/nowhere.parquet"], "/nowhere.parquet cannot be read"),
        (["--dataset", "digits", "--model", "colour", "--limit", "20", "--resize"], "has no baseline of ratio"),
        (["--dataset", "digits", "--model", "digits", "--offset", "400"], "--offset 400: digits has 360 images"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_no_verdict_has_an_exit_code_of_its_own(
    run: Run,
    address: str,
    arguments: list[str],
    message: str,
) -> None:
    code, out, error = run("resprobe", "drift", *arguments, "--address", address)
    assert (code, out) == (2, "")
    assert message in error
