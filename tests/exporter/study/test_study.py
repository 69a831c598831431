"""A study: its nets are measured once and kept, its verdicts follow from the numbers, and its page stands alone."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from matplotlib.figure import Figure
from resprobe_exporter.errors import CheckpointError, ExporterError
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.study import Plan, Taken, default_recipe, experiment, pool, run, statistics
from resprobe_exporter.study.evidence import Answer, Evidence
from resprobe_exporter.study.plan import Family, Job
from resprobe_exporter.study.questions import degradation, gradients, lesions, overfitting, ratios, responses
from resprobe_exporter.study.record import Record, State
from resprobe_exporter.training import data, trainer
from scipy import stats

from tests.support.nets import small_net
from tests.support.study import TINY

KEYS = ("degradation", "overfitting", "gradients", "responses", "ratios", "lesions")


def test_what_a_study_writes(finished: Path) -> None:
    answers = json.loads((finished / "results.json").read_text())["answers"]
    assert tuple(answer["key"] for answer in answers) == KEYS
    tables = {path.stem: pq.read_table(path) for path in finished.glob("*.parquet")}
    assert set(tables) == set(KEYS)
    assert tables["degradation"].num_rows == 4
    assert tables["ratios"].num_rows == tables["lesions"].num_rows == 3 + 6
    assert tables["responses"].num_rows == 2 * (7 + 13)
    assert tables["gradients"].num_rows == 3 * 2 * (8 + 14)  # three moments; the linear layer counts
    assert set(tables["gradients"].column("moment").to_pylist()) == {"initial", "early", "late"}


def test_the_page_needs_nothing_else(finished: Path) -> None:
    text = (finished / "index.html").read_text()
    assert text.count("<svg") == 6
    addresses = re.findall(r"""(?:\bsrc|\bhref|\burl)\s*[=(]\s*["']?([^"')\s>]+)""", text)
    assert addresses
    assert {address for address in addresses if not address.startswith(("#", "data:"))} == set()
    assert "<script" not in text
    assert "@import" not in text
    for answer in json.loads((finished / "results.json").read_text())["answers"]:
        assert answer["question"] in text


def test_a_study_goes_on_where_it_was_killed(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def measure(plan: Plan, job: Job, device: torch.device) -> Record:
        if len(measured) == 1:
            raise KeyboardInterrupt
        measured.append(job.name)
        return real(plan, job, device)

    real = experiment.measure
    monkeypatch.setattr(experiment, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        run(TINY, tmp_path)
    assert [path.stem for path in (tmp_path / "runs").iterdir()] == measured
    monkeypatch.setattr(experiment, "measure", real)
    said: list[str] = []
    results = run(TINY, tmp_path, say=said.append)
    assert said[0] == "1 of 4 nets are measured already"
    assert len(said) == 4
    before = json.loads((finished / "runs" / "resnet14-seed0.json").read_text())
    now = json.loads((tmp_path / "runs" / "resnet14-seed0.json").read_text())
    assert now["trained"] == before["trained"]
    assert results.tables["degradation"].num_rows == 4


def test_a_smaller_plan_goes_on_and_another_is_refused(finished: Path, tmp_path: Path) -> None:
    said: list[str] = []
    shutil.copytree(finished / "runs", tmp_path / "runs")
    assert len(run(replace(TINY, depths=(8,)), tmp_path, say=said.append).evidence.records) == 2
    assert said == ["2 of 2 nets are measured already"]
    with pytest.raises(ExporterError, match="is of another plan \\(limit was 60, is 50; epochs was 1, is 2\\)"):
        run(replace(TINY, recipe=default_recipe("digits", 2), limit=50), tmp_path)


def test_weights_are_measured_without_training(tmp_path: Path) -> None:
    paths = []
    for depth in (8, 14):
        paths.append(tmp_path / f"net{depth}.pt")
        torch.save(small_net(depth=depth).state_dict(), paths[-1])
    taken = Taken(tuple(paths), (), Preprocessing((0.3,), (0.37,)))
    results = run(replace(TINY, taken=taken), tmp_path / "study")
    by_key = {answer.key: answer for answer in results.answers}
    assert [record.depth for record in results.evidence.records] == [8, 14]
    assert {key: answer.outcome for key, answer in by_key.items() if key in KEYS[:3]} == dict.fromkeys(
        KEYS[:3], "unanswered"
    )
    assert "cannot be answered" in by_key["degradation"].verdict
    assert "early steps of training there is nothing to say" in by_key["gradients"].verdict
    torch.save(small_net(depth=20).state_dict(), paths[0])
    with pytest.raises(ExporterError, match=r"another --out"):
        torch.save({**small_net(depth=8).state_dict(), "linear.bias": torch.ones(10)}, paths[0])
        run(replace(TINY, taken=taken), tmp_path / "study")
    torch.save({"linear.bias": torch.ones(10)}, paths[0])
    with pytest.raises(CheckpointError, match="holds no blocks"):
        run(replace(TINY, taken=taken), tmp_path / "other")
    wrong = replace(taken, resnet=(paths[1],), preprocessing=Preprocessing((0.3,) * 3, (0.3,) * 3))
    with pytest.raises(ExporterError, match="--mean has 3 values; expected 1"):
        run(replace(TINY, taken=wrong), tmp_path / "other")


def test_a_lesion_leaves_the_shortcut(digits: data.Data) -> None:
    net = small_net(depth=14)
    part = data.Part(digits.test.images[:80], digits.test.labels[:80])
    found = experiment.lesions(net, part, digits)
    assert list(found) == [block.name for block in net.blocks]
    twin = small_net(depth=14)
    norm = twin.get_submodule("stage2.block1.bn2")
    assert isinstance(norm, torch.nn.BatchNorm2d)
    torch.nn.init.zeros_(norm.weight)
    torch.nn.init.zeros_(norm.bias)
    assert found["stage2.block1"] == trainer.evaluate(twin, part, digits).accuracy
    with experiment.without(net, "stage2.block1"):
        assert torch.equal(net(trainer.normalise(part.images, digits)), twin(trainer.normalise(part.images, digits)))


def test_nets_are_measured_alike_in_processes_of_their_own(finished: Path) -> None:
    jobs = [job for job in TINY.jobs() if job.depth == 8]
    found = dict(pool.measure_all(TINY, jobs, torch.device("cpu"), 2))
    assert set(found) == set(jobs)
    for job, record in found.items():
        before = json.loads((finished / "runs" / f"{job.name}.json").read_text())
        # one thread adds in another order than several, and training carries that on
        assert record.trained.responses == pytest.approx(before["trained"]["responses"], rel=0.05)


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
def test_plans_that_cannot_be_studied(change: Mapping[str, object], message: str) -> None:
    with pytest.raises(ExporterError, match=message):
        replace(TINY, **change)  # type: ignore[arg-type]


def test_statistics() -> None:
    estimate = statistics.mean([1.0, 2.0, 3.0])
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((2, 2 - 2.4841, 2 + 2.4841), abs=1e-3)
    assert statistics.mean([4.0]).low is None
    assert estimate.count == "3"
    assert statistics.difference([5.0, 5.1, 5.2], [1.0, 1.1]).count == "3 + 2"
    first, second = [5.0, 5.1, 5.2, 4.9], [1.0, 1.1, 1.3, 0.4]
    welch = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    found = statistics.difference(first, second)
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high))
    both = statistics.contrast((first, second, first, second), (1, -1, -1, 1))
    assert both.value == pytest.approx(0)
    assert both.low is not None
    assert both.high == pytest.approx(-both.low)
    x = [3.0, 6.0, 9.0, 27.0]
    law = statistics.power_law(x, [2 * one**-0.5 for one in x])
    assert law is not None
    assert law.exponent.value == pytest.approx(0.5)
    assert law.factor == pytest.approx(2)
    assert statistics.power_law([3.0, 3.0], [1.0, 2.0]) is None
    rho = statistics.rank_correlation([1, 2, 3, 4, 5], [1, 4, 9, 16, 25])
    assert rho is not None
    assert (rho.value, rho.high) == pytest.approx((1, 1))
    assert statistics.rank_correlation([1, 2, 3], [1, 1, 1]) is None


def make(
    family: Family,
    depth: int,
    seed: int,
    error: float = 0.0,
    gap: float = 0.0,
    response: float = 1.0,
    ratio: float = 0.5,
    untrained: float = 0.5,
    slope: float = 1.0,
    cost: float = 1.0,
) -> Record:
    """A net with these numbers, a little different for each seed; `slope` is the first over the last gradient."""
    error, response = error + 1e-4 * seed, response + 1e-3 * seed
    blocks = [f"stage{stage}.block{index}" for stage in (1, 2, 3) for index in range((depth - 2) // 6)]
    layers = ["conv1", *(f"{block}.conv{place}" for block in blocks for place in (1, 2))]
    spread = np.linspace(0.9, 1.1, len(blocks))
    by_block = dict(zip(blocks, spread, strict=True)) if family == "resnet" else {}

    def state(ratio: float) -> State:
        sizes = {name: (ratio + 1e-3 * seed) * one for name, one in by_block.items()}
        return State(error, error + gap, 1.0, 1.0, dict.fromkeys(layers, response), sizes)

    norms = dict(zip(layers, np.geomspace(slope, 1, len(layers)).tolist(), strict=True))
    lost = {name: 0.9 - 0.1 * cost * (one - 0.8) for name, one in by_block.items()}
    moments = dict.fromkeys(("initial", "early", "late"), norms)
    return Record(
        family,
        depth,
        seed,
        state(untrained),
        state(ratio),
        moments,
        dict.fromkeys(layers, 1.0),
        [0.5, error],
        lost,
        0.9,
        1,
    )


def nets(
    plain: Sequence[Mapping[str, float]], resnet: Sequence[Mapping[str, float]], depths: Sequence[int] = (20, 56)
) -> Evidence:
    """Three seeds of plain and residual nets with these numbers, one mapping for each depth."""
    families: Mapping[Family, Sequence[Mapping[str, float]]] = {"plain": plain, "resnet": resnet}
    return Evidence(
        tuple(
            make(family, depth, seed, **numbers)
            for family, all_numbers in families.items()
            for depth, numbers in zip(depths, all_numbers, strict=False)
            for seed in range(3)
        ),
        "digits",
    )


SAME: Sequence[Mapping[str, float]] = ({}, {})
WORSE: Sequence[Mapping[str, float]] = ({"error": 0.01}, {"error": 0.4})
BETTER: Sequence[Mapping[str, float]] = ({"error": 0.4}, {"error": 0.01})
PLAIN_RISES = "The training error of plain nets rises from 20 to 56 layers: "
VERDICTS = [
    (degradation.answer, nets(WORSE, SAME), "confirmed", f"{PLAIN_RISES}confirmed (+39.00 points [+38.98, +39.02], n"),
    (degradation.answer, nets(BETTER, SAME), "contradicted", f"{PLAIN_RISES}contradicted (-39.00 points [-39.02, "),
    (
        degradation.answer,
        nets(SAME, SAME),
        "cannot tell",
        f"{PLAIN_RISES}cannot tell (+0.00 points [-0.02, +0.02], n = ",
    ),
    (
        degradation.answer,
        nets(WORSE, WORSE),
        "cannot tell",
        "It rises more in plain nets than in residual ones: cannot",
    ),
    (degradation.answer, nets((), SAME), "unanswered", "cannot be answered"),
    (overfitting.answer, nets(WORSE, SAME), "confirmed", "Their training error rises too, so that it is no overfitti"),
    (
        overfitting.answer,
        nets(({"error": 0.2}, {"error": 0.1, "gap": 0.5}), SAME),
        "contradicted",
        "so that it is no overfitting: contradicted (-10.00 points",
    ),
    (overfitting.answer, nets(SAME, SAME), "cannot tell", "So there may be nothing to explain"),
    (overfitting.answer, nets((), SAME), "unanswered", "cannot be answered for plain nets"),
    (
        gradients.answer,
        nets(SAME, SAME),
        "confirmed",
        "within a factor of 10 at initialisation: confirmed (1× [1, 1], n",
    ),
    (
        gradients.answer,
        nets(({}, {"slope": 1e-4}), SAME),
        "contradicted",
        "factor of 10 at the end: contradicted (0.00",
    ),
    (gradients.answer, nets(({}, {"slope": 1e4}), SAME), "contradicted", "at initialisation: contradicted (3.91e+03×"),
    (
        responses.answer,
        nets(SAME, ({"response": 0.8}, {"response": 0.4})),
        "confirmed",
        "Residual nets of 56 layers respond less than their plain twins: confirmed (-0.600 [-0.602, -0.598], n",
    ),
    (
        responses.answer,
        nets(SAME, ({"response": 0.4}, {"response": 0.8})),
        "contradicted",
        "Residual nets of 56 layers respond less than those of 20: contradicted (+0.400",
    ),
    (responses.answer, nets(SAME, SAME), "cannot tell", "than their plain twins: cannot tell (+0.000 [-0.002, +0.002]"),
    (ratios.answer, nets((), ({"ratio": 0.6}, {"ratio": 0.2})), "confirmed", "its smallness is learned: confirmed (-0"),
    (ratios.answer, nets((), ({"ratio": 0.6}, {"ratio": 2.0})), "contradicted", "on average over blocks: contradicted"),
    (ratios.answer, nets((), ({"ratio": 0.6}, {"ratio": 0.05})), "confirmed", "0.1 times the shortcut: confirmed (0.0"),
    (ratios.answer, nets((), ({"untrained": 0.3}, {"untrained": 0.3})), "cannot tell", "is learned: contradicted (+0."),
    (
        lesions.answer,
        nets((), ({}, {"cost": 0.1})),
        "confirmed",
        "the more its removal costs: rho is above 0: confirmed",
    ),
    (lesions.answer, nets((), ({}, {"cost": -0.1})), "contradicted", "rho is above 0: contradicted (-1.00 [-1.00, -1."),
    (lesions.answer, nets((), ({}, {"cost": 9.0})), "contradicted", "for the one that costs most: contradicted (27."),
    (lesions.answer, nets((), ({}, {"cost": 0.0})), "cannot tell", "Too few blocks differ"),
]


@pytest.mark.parametrize(("answer", "evidence", "outcome", "words"), VERDICTS)
def test_verdicts_follow_from_the_numbers(answer: object, evidence: Evidence, outcome: str, words: str) -> None:
    found: Answer = answer(evidence)  # type: ignore[operator]
    assert words in found.verdict
    assert found.outcome == outcome


@pytest.mark.parametrize("question", [degradation, overfitting, gradients, responses, ratios, lesions])
@pytest.mark.parametrize(
    "evidence", [nets(WORSE, SAME), nets((), SAME), nets(WORSE, ())], ids=["both", "resnet", "plain"]
)
def test_every_figure_can_be_drawn(question: object, evidence: Evidence) -> None:
    figure = question.draw(evidence)  # type: ignore[attr-defined]
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()


def test_gradients_that_vanish_in_the_middle_are_seen() -> None:
    names = [f"stage1.block{index}.conv1" for index in range(24)]
    norms = dict(zip(names, 10.0 ** -np.array([0] * 9 + [3] * 6 + [0] * 9), strict=True))
    assert gradients.departure(norms) == pytest.approx(-3)
