"""Views of the inside of a net: their sums are the block statistics, and what follows from them by arithmetic."""

import asyncio
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import resprobe
from hypothesis import given
from hypothesis import strategies as st
from resprobe._results.inspection import Inspection, Maps, Readouts, View, influence
from resprobe._results.result import join
from resprobe.errors import InvalidRequest, StatisticsUnavailable

from tests.support.servers import Serve

Images = npt.NDArray[np.uint8]
VIEWS: tuple[View, ...] = ("maps", "channels", "readouts", "cam")


def ask(client: resprobe.Client, images: Images, **options: object) -> resprobe.ProbedResult:
    result = client.classify(images, model="digits", blocks=True, views=VIEWS, **options)  # type: ignore[call-overload]
    assert isinstance(result, resprobe.ProbedResult)
    return result


def test_squares_of_maps_and_channels_add_up_to_those_of_block_statistics(
    client: resprobe.Client, test_images: Images
) -> None:
    result = ask(client, test_images[:20])
    assert result.maps is not None
    assert result.channels is not None
    for norms, axes in ((result.maps, (1, 2)), (result.channels, (1,))):
        for name in ("branch", "shortcut"):
            sums = [np.sqrt(np.square(one, dtype=np.float64).sum(axis=axes)) for one in getattr(norms, name)]
            np.testing.assert_allclose(np.stack(sums, axis=1), getattr(result.blocks, f"{name}_l2"), rtol=1e-4)
    model = client.model("digits")
    assert [one.shape[1:] for one in result.maps.branch] == [(block.height, block.width) for block in model.blocks]
    assert [one.shape[1:] for one in result.channels.branch] == [(block.channels,) for block in model.blocks]


def test_the_last_readout_is_the_answer(client: resprobe.Client, test_images: Images) -> None:
    result = ask(client, test_images[:20], top_k=10)
    assert result.readouts is not None
    assert (result.readouts.names, result.readouts.heads) == (["stage3.block0"], ["own"])
    assert (result.readouts.places.tolist(), result.readouts.labels) == ([2], tuple("0123456789"))
    probabilities = np.take_along_axis(result.readouts.probabilities[:, -1], result.classes, axis=1)
    np.testing.assert_allclose(probabilities, result.probabilities, atol=1e-6)
    assert result.prediction_depth is not None
    assert result.prediction_depth.tolist() == [2] * 20


def test_means_of_activation_maps_are_scores_but_for_the_bias(client: resprobe.Client, test_images: Images) -> None:
    result = ask(client, test_images[:20], top_k=10)
    assert result.cam is not None
    assert result.cam.shape == (20, 10, 2, 2)
    assert result.readouts is not None
    means = np.zeros((20, 10))
    np.put_along_axis(means, result.classes, result.cam.mean(axis=(2, 3)), axis=1)
    np.testing.assert_allclose((result.readouts.scores[:, -1] - means).std(axis=0), 0, atol=1e-4)


def test_parts_and_joined_results_have_the_same_values(client: resprobe.Client, test_images: Images) -> None:
    whole, one = ask(client, test_images[:6]), 4
    for other in (join([ask(client, test_images[:2]), ask(client, test_images[2:6])]), whole[0:6]):
        assert isinstance(other, resprobe.Result)
        assert other.maps is not None
        assert whole.maps is not None
        for first, second in zip(other.maps.branch, whole.maps.branch, strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
    prediction = whole[one].inspection
    assert prediction is not None
    assert prediction.readouts is not None
    assert whole.readouts is not None
    assert prediction.readouts.scores.tolist() == whole.readouts.scores[[one]].tolist()
    assert len(whole[1:3].readouts or ()) == 2


def test_the_asynchronous_client_and_streams_return_the_same(
    client: resprobe.Client, address: str, test_images: Images
) -> None:
    async def run() -> list[resprobe.Result]:
        async with resprobe.AsyncClient(address) as other:
            one = await other.classify(test_images[:3], model="digits", views=["maps"])
            return [one, *[part async for part in other.stream([test_images[:3]], model="digits", views=["maps"])]]

    expected = client.classify(test_images[:3], model="digits", views=["maps"])
    assert (expected.blocks, expected.readouts, expected.cam, expected.channels) == (None,) * 4
    for result in (*asyncio.run(run()), *client.stream([test_images[:3]], model="digits", views=["maps"])):
        assert result.maps is not None
        assert expected.maps is not None
        np.testing.assert_allclose(result.maps.branch[0], expected.maps.branch[0], rtol=1e-3, atol=1e-4)


def test_block_scales_and_views_go_together(client: resprobe.Client, test_images: Images) -> None:
    images, scale = test_images[:4], {"stage2.block0": 0.0}
    result = client.classify(images, model="digits", views=["readouts"], block_scale=scale, top_k=10)
    expected = client.classify(images, model="digits", block_scale=scale, top_k=10)
    assert result.readouts is not None
    probabilities = np.take_along_axis(result.readouts.probabilities[:, -1], expected.classes, axis=1)
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-5)


def test_views_that_there_are_not(client: resprobe.Client, test_images: Images) -> None:
    with pytest.raises(InvalidRequest, match="no view 'heat'; there are blocks, maps, channels, readouts, cam"):
        client.classify(test_images[:1], model="digits", views=["heat"])  # type: ignore[list-item]
    with pytest.raises(InvalidRequest, match=r"expected a list of names, such as \['maps', 'readouts'\]"):
        client.classify(test_images[:1], model="digits", views="maps")  # type: ignore[arg-type]
    with pytest.raises(StatisticsUnavailable, match="cannot return maps: it has no residual blocks"):
        client.classify(test_images[:1], model="plain", views=["maps"])
    assert client.model("digits").views == ("blocks", *VIEWS)
    assert client.model("plain").views == ()


def test_channels_of_another_net(start: Serve, repository: Path) -> None:
    with start(repository) as address, resprobe.Client(address) as client:
        result = client.classify(np.zeros((12, 12, 3), np.uint8), model="colour", views=["channels"])
        assert result.channels is not None
        assert [one.shape for one in result.channels.shortcut] == [(1, 16), (1, 32), (1, 64)]


def readouts(rows: list[list[int]], places: tuple[int, ...]) -> Readouts:
    scores = np.eye(4, dtype=np.float32)[np.array(rows)]
    names = [f"stage1.block{place}" for place in places]
    return Readouts(names, np.array(places), ["own"] * len(names), tuple("abcd"), scores)


def test_prediction_depth_is_the_first_block_from_which_all_agree() -> None:
    found = readouts([[1, 1, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0], [2, 1, 0]], (3, 5, 6))
    assert found.prediction_depth.tolist() == [3, 5, 6, 6, 6]
    labels = np.array([1, 0, 1, 1, 3])
    assert found.overthinking(labels).tolist() == [False, True, False, True, False]


VECTORS = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 1e-3, 1.0, 50.0]))


@given(VECTORS)
def test_influence_is_one_less_the_cosine_of_input_and_output(drawn: tuple[int, float]) -> None:
    generator = np.random.default_rng(drawn[0])
    s, f = generator.standard_normal(30), drawn[1] * generator.standard_normal(30)
    lengths = np.linalg.norm(f), np.linalg.norm(s)
    found = influence(*(np.array(one) for one in (*lengths, f @ s / (lengths[0] * lengths[1]))))
    one, two = s / lengths[1], (s + f) / np.linalg.norm(s + f)
    np.testing.assert_allclose(found, ((one - two) ** 2).sum() / 2, rtol=1e-6, atol=1e-18)


def test_influence_at_its_limits() -> None:
    nothing, zero, inverse = (1.0, 0.0, np.nan), (0.0, 1.0, np.nan), (2.0, 1.0, -1.0)
    branch, shortcut, cosine = np.array([nothing, zero, inverse]).T
    np.testing.assert_array_equal(influence(branch, shortcut, cosine), [np.nan, 0, 2])


def test_entropy_of_maps() -> None:
    one, alike, none = np.zeros((4, 4)), np.full((4, 4), 3), np.zeros((4, 4))
    one[2, 1] = 5
    maps = np.array([one, alike, none], np.float32)
    found = Inspection(maps=Maps(["a", "b"], [maps, maps[:, :1, :1]], [maps, maps[:, :1, :1]])).maps
    assert found is not None
    expected = np.array([[0, np.nan], [1, 1], [np.nan, np.nan]], np.float64)
    np.testing.assert_allclose(found.entropy(), expected, atol=1e-12)
