"""From a PyTorch net to a plain ONNX graph: uint8 images in, logits out, batch norms folded, normalisation inside."""

import copy
import logging
import warnings
from collections.abc import Sequence

import onnx_ir as ir
import onnx_ir.passes.common as common_passes
import torch
from resprobe_protos.contract import IMAGE, LOGITS
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from resprobe_exporter.graph.passes.conv_shortcut import PadShortcutToConv
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.training.data import as_image

SCOPES = "pkg.torch.onnx.name_scopes"  # torch's exporter writes a node's module path there


class Served(nn.Module):
    """A net as it is served: takes uint8 [n, height, width, channels] and normalises it.

    `mean` and `std`, for pixels in [0, 1], have a value for each channel [c] or for each pixel [c, height, width].
    """

    def __init__(self, net: ResNet, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> None:
        super().__init__()
        self.net = net
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", 255 * as_image(mean))
        self.register_buffer("std", 255 * as_image(std))

    def forward(self, image: Tensor) -> Tensor:
        """uint8 [n, height, width, channels] to logits [n, classes]."""
        dtype = self.net.linear.weight.dtype
        pixels = image.permute(0, 3, 1, 2).to(dtype)
        logits: Tensor = self.net((pixels - self.mean.to(dtype)) / self.std.to(dtype))
        return logits


def fold_batch_norms(net: ResNet) -> ResNet:
    """A copy in which each batch norm that follows a convolution is part of it; computed in float64."""
    folded = copy.deepcopy(net).cpu().double().eval()
    for module in folded.modules():
        for conv, norm in getattr(module, "norm_after", {}).items():
            if isinstance(getattr(module, norm, None), nn.BatchNorm2d):
                setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
                setattr(module, norm, nn.Identity())
    return folded.float()


def to_onnx(net: ResNet, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> ir.Model:
    """Exports a net with a free batch size.

    Args:
        net: In any mode, on any device; it is not changed.
        mean: Of each channel [c] or of each pixel [c, height, width], subtracted from pixels in [0, 1].
        std: The same; what is left is divided by it.

    Returns:
        A model with the input `image`, uint8 [n, height, width, channels], and the output `logits`, float32
        [n, classes]. Nodes keep torch's record of the module they come from, and nothing else about this machine.
    """
    served = Served(fold_batch_norms(net), mean, std).eval().requires_grad_(False)
    shape = net.architecture
    example = torch.zeros(2, shape.height, shape.width, shape.channels, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of torchvision, which is not needed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own use of a deprecated class
        program = torch.onnx.export(
            served,
            (example,),
            dynamo=True,
            dynamic_shapes={IMAGE: {0: torch.export.Dim("n")}},
            input_names=[IMAGE],
            output_names=[LOGITS],
            verbose=False,
        )
    assert program is not None
    model = program.model
    _forget_this_machine(model)
    PadShortcutToConv()(model)
    common_passes.RemoveUnusedNodesPass()(model)
    return model


def _forget_this_machine(model: ir.Model) -> None:
    """Keeps of torch's metadata only the module path: the rest holds file names of this machine."""
    for node in model.graph:
        scopes = node.metadata_props.get(SCOPES)
        node.metadata_props.clear()
        if scopes is not None:
            node.metadata_props[SCOPES] = scopes
        node.doc_string = None
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
