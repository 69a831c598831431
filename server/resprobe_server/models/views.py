"""Views of resprobe.v1, and the output of a graph that each is."""

from collections.abc import Collection, Mapping

from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import BLOCKS, CAM, CHANNELS, MAPS, READOUTS

OUTPUTS: Mapping[pb.View.ValueType, str] = {
    pb.VIEW_BLOCKS: BLOCKS,
    pb.VIEW_MAPS: MAPS,
    pb.VIEW_CHANNELS: CHANNELS,
    pb.VIEW_READOUTS: READOUTS,
    pb.VIEW_CAM: CAM,
}


def answered(outputs: Collection[str]) -> list[pb.View.ValueType]:
    """Returns the views that a version with these outputs answers."""
    return [pb.VIEW_BASIC, *(view for view, output in OUTPUTS.items() if output in outputs)]
