"""Exports PyTorch nets as plain ONNX graphs: uint8 images in, logits out, batch norms folded, normalisation inside."""

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

from resprobe_exporter.errors import CheckFailed
from resprobe_exporter.graph.passes.conv_shortcut import PadShortcutToConv
from resprobe_exporter.graph.residual import find
from resprobe_exporter.nets.layers import StandardisedConv, as_image
from resprobe_exporter.nets.resnet import ResNet

SCOPES = "pkg.torch.onnx.name_scopes"  # torch's exporter writes a node's module path there


class Served(nn.Module):
    """Net as it is served: takes images, uint8 [n, height, width, channels], and normalises them.

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
        """Maps uint8 [n, height, width, channels] to logits [n, classes]."""
        dtype = self.net.linear.weight.dtype
        pixels = image.permute(0, 3, 1, 2).to(dtype)
        logits: Tensor = self.net((pixels - self.mean.to(dtype)) / self.std.to(dtype))
        return logits


def fold_batch_norms(net: ResNet) -> ResNet:
    """Returns a copy in which each batch norm is part of the convolution before it; computed in float64.

    Weights that are standardised when they are used are standardised for good.
    """
    folded = copy.deepcopy(net).cpu().double().eval()
    for module in folded.modules():
        if isinstance(module, StandardisedConv):
            module.settle()
        for conv, norm in getattr(module, "norm_after", {}).items():
            if isinstance(getattr(module, norm, None), nn.BatchNorm2d):
                setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
                setattr(module, norm, nn.Identity())
    return folded.float()


def to_onnx(net: ResNet, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> ir.Model:
    """Exports a net with a free batch size.

    Args:
        net: Net in any mode, on any device; it is not changed.
        mean: Mean of each channel [c] or of each pixel [c, height, width], subtracted from pixels in [0, 1].
        std: Standard deviation, in the shape of the mean, by which the difference is divided.

    Returns:
        A model with the input `image`, uint8 [n, height, width, channels], and the output `logits`, float32
        [n, classes]. It says nothing about this machine.

    Raises:
        CheckFailed: The residual additions of the graph are not those of the net.
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
    if program is None:
        raise CheckFailed("torch.onnx.export returned no graph")
    model = program.model
    ir.passes.Sequential(PadShortcutToConv(), common_passes.RemoveUnusedNodesPass())(model)
    _check_names(model.graph, net)
    _forget_this_machine(model)
    return model


def _check_names(graph: ir.Graph, net: ResNet) -> None:
    """Raises CheckFailed unless the additions that the search finds are the net's own, each in its module."""
    found = [addition.node.metadata_props.get(SCOPES, "") for addition in find(graph)]
    expected = [block.name for block in net.blocks]
    if len(found) != len(expected) or not all(
        f"{name}.add'" in scope for name, scope in zip(expected, found, strict=True)
    ):
        raise CheckFailed(f"found {len(found)} residual additions in the graph; the net has {len(expected)}: {found}")


def _forget_this_machine(model: ir.Model) -> None:
    """Removes torch's metadata, which hold file names of this machine."""
    common_passes.ClearMetadataAndDocStringPass()(model)
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.metadata_props.clear()
