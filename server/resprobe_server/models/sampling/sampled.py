"""What is sampled of a version's images: block ratios, and prediction depth where there are readouts."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import BLOCKS, BRANCH_L2, INSPECT, LEAN, PROBE, READOUTS, SHORTCUT_L2

from resprobe_server.execution.graph import Graph
from resprobe_server.models.sampling.depths import Depths, Intact
from resprobe_server.models.sampling.ratios import Ratios
from resprobe_server.models.sampling.sampler import Report, Sampler, Watched


@dataclass(frozen=True)
class Sampled:
    """What was sampled of a version's images. None for what is not sampled."""

    ratios: Ratios | None = None
    depths: Depths | None = None


def watch(
    model: pb.Model,
    graphs: Mapping[str, Graph],
    share: float,
    when_idle: Callable[[Callable[[], None]], None],
) -> tuple[Mapping[str, Graph], Sampled]:
    """Starts to sample: returns the graphs to run by file, and what will be sampled from their batches.

    Requests for inspect.onnx are not sampled: their images are chosen, and their blocks may be scaled.

    Args:
        model: Description of the version, with what inspect.onnx returns as `serving.views`.
        graphs: Graphs by file.
        share: Share of the images, in [0, 1].
        when_idle: Runs a job when the device is idle, which may be never.
    """
    reports: defaultdict[str, list[Report]] = defaultdict(list)
    ratios = depths = None
    if share and PROBE in graphs and {BRANCH_L2, SHORTCUT_L2} <= set(model.statistics):
        ratios = found = Ratios(list(model.statistics), len(model.blocks))
        sampler = Sampler(lambda outputs: found.add(outputs[BLOCKS]), graphs[PROBE], share, when_idle)
        reports[LEAN].append(sampler.after_other)
        reports[PROBE].append(sampler.after_own)
    has_readouts = pb.VIEW_READOUTS in model.serving.views and any(one.HasField("readout") for one in model.blocks)
    if share and INSPECT in graphs and has_readouts:
        depths = seen = Depths(model)
        inspect = Intact(graphs[INSPECT], len(model.blocks))
        sampler = Sampler(lambda outputs: seen.add(outputs[READOUTS]), inspect, share, when_idle)
        for file in {LEAN, PROBE} & graphs.keys():
            reports[file].append(sampler.after_other)
    watched = {file: Watched(graphs[file], found) for file, found in reports.items()}
    return {**graphs, **watched}, Sampled(ratios, depths)
