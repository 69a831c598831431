"""Makes a candidate of a PyTorch net, trained here or filled with the weights of a checkpoint."""

from collections.abc import Sequence

from resprobe_exporter import progress
from resprobe_exporter.graph.torch_export import to_onnx
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.verification.expected_torch import TorchOracle
from resprobe_exporter.verification.reference import check_images
from resprobe_exporter.versions.candidate import Candidate, Origin
from resprobe_exporter.versions.test_set import LabelledImages


def net_candidate(
    net: ResNet,
    preprocessing: Preprocessing,
    classes: Sequence[str],
    origin: Origin,
    test_set: LabelledImages | None = None,
    hints: Sequence[str] = (),
) -> Candidate:
    """Exports a net.

    Args:
        net: Net in any mode, on any device; it is not changed.
        preprocessing: Normalisation of its pixels, which becomes part of the graph.
        classes: Labels, one for each class of the net.
        origin: Source of the weights.
        test_set: Images for the accuracy and the baseline. If None, both are left out.
        hints: What to check if the accuracy is near chance.

    Raises:
        CheckFailed: The residual additions of the graph are not those of the net.
    """
    progress.say("exporting")
    lean = to_onnx(net, preprocessing.mean, preprocessing.std)
    shape = net.architecture
    real = None if test_set is None else test_set.images
    images = check_images((shape.height, shape.width, shape.channels), real)
    oracle = TorchOracle(net, preprocessing, images)
    return Candidate(lean, net.info, oracle, classes, origin, test_set, hints, preprocessing)
