"""What is sampled of live images: shares, ratios and prediction depths."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import resprobe
from hypothesis import given
from hypothesis import strategies as st
from resprobe_protos import resprobe_pb2 as pb
from resprobe_server.models.sampling.depths import BUCKETS, Depths
from resprobe_server.models.sampling.ratios import BOUNDS, Ratios
from resprobe_server.models.sampling.sampler import Share

from tests.support.nets import publish_net, small_net
from tests.support.scrape import Scrape
from tests.support.servers import Serve, free_address


def test_prediction_depths_are_those_that_the_client_sees(
    start: Serve, tmp_path: Path, test_images: npt.NDArray[np.uint8]
) -> None:
    where, labels = free_address(), {"model": "deep", "version": "1"}
    publish_net(small_net(depth=26), tmp_path, "deep")  # the own head reads its last four blocks, 8 to 11
    publish_net(small_net("plain"), tmp_path, "plain")
    with start(tmp_path, metrics_address=where, ratio_sample=1.0) as address, resprobe.Client(address) as client:
        views = client.classify(test_images[:40], model="deep", views=["readouts"])  # are not sampled
        assert views.prediction_depth is not None
        depths = views.prediction_depth
        client.classify(test_images[0], model="plain")
        for count, image in enumerate(test_images[:40]):
            assert Scrape(where).value("resprobe_prediction_depth_count", **labels) == count
            client.classify(image, model="deep", blocks=bool(count % 2))
            end = time.monotonic() + 10
            while Scrape(where).value("resprobe_prediction_depth_count", **labels) == count:
                assert time.monotonic() < end
        scrape = Scrape(where)
    assert len(set(depths.tolist())) > 1
    for place in (8, 9, 10, 11):
        found = scrape.value("resprobe_prediction_depth_bucket", **labels, le=f"{place}.0")
        assert found == (depths <= place).sum()
    assert scrape.value("resprobe_prediction_depth_sum", **labels) == depths.sum()
    assert scrape.total("resprobe_prediction_depth_count") == 40  # none of the other model


def test_depths_of_nets_with_many_readouts_share_buckets() -> None:
    readout = pb.Readout(head=pb.READOUT_HEAD_OWN)
    depths = Depths(pb.Model(blocks=[pb.Block(), *(pb.Block(readout=readout) for _ in range(100))]))
    assert (len(depths.bounds), depths.bounds[0], depths.bounds[-1]) == (BUCKETS, 1, 100)
    scores = np.zeros((3, 100, 2), np.float32)
    scores[0, :49, 1] = 1  # decided after block 50
    scores[2, 5, 0] = np.nan
    depths.add(scores)
    assert depths.counts.sum() == depths.counts[[0, 10]].sum() == 2
    assert depths.sum == 51


@given(share=st.floats(0, 1), counts=st.lists(st.integers(1, 40), max_size=200))
def test_a_share_is_never_exceeded(share: float, counts: list[int]) -> None:
    gate, taken, seen = Share(share), 0, 0
    for count in counts:
        taken += gate.selects(count)
        seen += count
        assert taken <= share * seen * (1 + 1e-9)


def test_a_share_is_reached_where_images_come_one_by_one() -> None:
    gate = Share(0.25)
    assert [gate.selects(1) for _ in range(8)] == [False, False, False, True] * 2


def test_ratios_that_are_not_finite() -> None:
    ratios = Ratios(["shortcut_l2", "branch_l2"], 2)
    one, zero, tiny = (4.0, 2.0), (0.0, 0.0), (0.0, 1.0)  # shortcut, branch
    ratios.add(np.array([[one, zero], [one, tiny], [one, one]], np.float32))
    assert ratios.counts.sum(axis=1).tolist() == [3, 2]
    assert ratios.counts[:, BOUNDS.index(0.56)].tolist() == [3, 1]
    assert ratios.counts[:, -1].tolist() == [0, 1]
    assert ratios.sums.tolist() == [1.5, 0.5]
