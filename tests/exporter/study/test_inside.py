"""The inside of one net of a study: passes, heads, costs of lesions and correlations, against other ways to them."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.readouts.fit import INVERSE_PENALTIES
from resprobe_exporter.study.inside import Inside, bootstrap, costs, heads, passing
from resprobe_exporter.study.inside.findings import STATISTICS
from resprobe_exporter.training import data, hooks, trainer
from scipy import stats
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support.nets import small_net
from tests.support.study import make_inside

BLOCKS = [f"stage{stage}.block{index}" for stage in (1, 2, 3) for index in range(2)]


@pytest.fixture(scope="module")
def part(digits: data.Data) -> data.Part:
    """A few test images: one full batch, and one that is not."""
    count = passing.BATCH + 20
    return data.Part(digits.test.images[:count], digits.test.labels[:count])


def test_a_lesion_leaves_the_shortcut(digits: data.Data, part: data.Part) -> None:
    net, twin = small_net(depth=14), small_net(depth=14)
    found = passing.scores_without(net, part, digits)
    assert found.shape == (len(part), 6, 10)
    norm = twin.get_submodule("stage2.block1.bn2")
    assert isinstance(norm, torch.nn.BatchNorm2d)
    torch.nn.init.zeros_(norm.weight)
    torch.nn.init.zeros_(norm.bias)
    images = trainer.normalise(part.images, digits)
    with torch.no_grad():
        expected = twin(images).numpy()
        np.testing.assert_allclose(found[:, 3], expected, rtol=1e-4, atol=1e-5)
        with passing.without(net, "stage2.block1"):
            assert torch.equal(net(images), twin(images))


def test_what_blocks_compute_is_what_hooks_see(digits: data.Data, part: data.Part) -> None:
    net = small_net(depth=14)
    found = passing.observe(net, part, digits)
    images = trainer.normalise(part.images, digits)
    with hooks.Responses(net) as responses, torch.no_grad():
        logits = net(images)
        stem = net.active(net.bn1(net.conv1(images)))
        first = net.get_submodule("stage1.block0")(stem)
    np.testing.assert_allclose(found.own[:, -1], logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.ratio[:, 2], responses.ratios["stage2.block0"], rtol=1e-4)
    assert [one.shape[1] for one in found.features] == [16, 16, 16, 32, 32, 64, 64]
    np.testing.assert_allclose(found.features[0], stem.mean((2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.features[1], first.mean((2, 3)), rtol=1e-4, atol=1e-6)
    assert found.own.shape == (len(part), 2, 10)
    ratio, cosine = found.ratio, found.cosine
    turned = (1 + ratio * cosine) / np.sqrt(1 + 2 * ratio * cosine + ratio**2)
    np.testing.assert_allclose(found.influence, 1 - turned, atol=1e-9)


def test_heads_are_logistic_regressions_of_the_classes_that_have_images() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([2, 5, 7], 60)
    features = generator.normal(size=(180, 4)) + labels[:, None] * np.array([0.5, 0, 0, 0])
    fitted = heads.fit_all([features], labels)
    models = [make_pipeline(StandardScaler(), LogisticRegression(C=one, max_iter=1000)) for one in INVERSE_PENALTIES]
    for model in models:
        model.fit(features, labels)
    scores = fitted.scores([features])[0]
    alike = [model for model in models if np.allclose(scores, model.decision_function(features), atol=1e-3)]
    assert len(alike) == 1
    assert fitted.best(scores).tolist() == alike[0].predict(features).tolist()
    with pytest.raises(ExporterError, match="2 training images of 2 classes are too few to fit readouts"):
        heads.fit_all([features[:2]], np.array([0, 1]))


def test_costs_are_lost_answers_and_lost_likelihood() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 50)
    intact, lesioned = generator.normal(size=(50, 4)), generator.normal(size=(50, 3, 4))
    found = costs.costs(intact, lesioned, labels)

    loss = log_loss(labels, softmax(lesioned[:, 1], axis=1)) - log_loss(labels, softmax(intact, axis=1))
    assert found["loss"].mean(axis=0)[1] == pytest.approx(loss)
    lost = (intact.argmax(1) == labels).mean() - (lesioned[:, 1].argmax(1) == labels).mean()
    assert found["accuracy"].mean(axis=0)[1] == pytest.approx(lost)
    changes = costs.changes([intact, lesioned[:, 0]])
    assert changes[:, 0] == pytest.approx(np.abs(softmax(intact, axis=1) - softmax(lesioned[:, 0], axis=1)).sum(1) / 2)


def test_correlations_are_spearmans_and_their_differences_are_paired() -> None:
    generator = np.random.default_rng(0)
    cost = generator.normal(size=(200, 8)) + np.arange(8)
    statistics = {name: generator.normal(size=(200, 8)) + place * np.arange(8) for place, name in enumerate(STATISTICS)}
    statistics["ratio"][0, 0] = np.inf  # left out
    keeps = np.array([True] * 6 + [False] * 2)
    found = list(costs.correlate({"accuracy": cost, "loss": cost**3}, statistics, keeps))
    assert len(found) == 2 * 2 * 4
    by_key = {(one.cost, one.all_blocks, one.statistic): one for one in found}
    means = {name: np.nanmean(np.where(np.isfinite(one), one, np.nan), axis=0) for name, one in statistics.items()}
    for name in STATISTICS:
        one = by_key["accuracy", True, name]
        assert one.rho.value == pytest.approx(stats.spearmanr(means[name], cost.mean(0)).statistic)
        assert one.above_influence.value == pytest.approx(
            one.rho.value - by_key["accuracy", True, "influence"].rho.value
        )
        same = by_key["accuracy", False, name]
        assert same.rho.value == pytest.approx(stats.spearmanr(means[name][keeps], cost.mean(0)[keeps]).statistic)
    ratio = by_key["accuracy", True, "ratio"].rho
    assert ratio.low is not None
    assert ratio.high is not None
    assert -1 <= ratio.low < ratio.high <= 1
    assert ratio.n == (200,)
    assert not list(costs.correlate({"accuracy": cost * 0, "loss": cost * 0}, statistics, keeps))
    few = list(costs.correlate({"accuracy": cost, "loss": cost}, statistics, np.arange(8) < 4))
    assert {one.all_blocks for one in few} == {True}


def test_correlations_over_images_are_spearmans() -> None:
    generator = np.random.default_rng(0)
    x = generator.integers(0, 5, 300)
    y = x + generator.normal(size=300)
    found = bootstrap.correlation_over_images(x, y)
    assert found is not None
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high < found.low + 0.2
    assert bootstrap.correlation_over_images(np.zeros(300), y) is None


def test_findings_survive_json() -> None:
    inside = make_inside(BLOCKS, 1, 0.9, 0.5, 0.2, 0.9)
    inside = replace(inside, correlations=tuple(inside.correlations))
    assert Inside.from_json(json.loads(json.dumps(asdict(inside)))) == inside
    nothing = replace(make_inside(BLOCKS, 1, None, None, 0.0, None), correlations=())
    assert Inside.from_json(json.loads(json.dumps(asdict(nothing)))) == nothing
