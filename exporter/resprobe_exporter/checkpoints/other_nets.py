"""Nets that cannot be read from weights alone, as data, and the refusal that says which one a file holds."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from resprobe_exporter.errors import CheckpointError

SUPPORTED = (
    "expected a ResNet, Wide ResNet, ResNeXt, ResNet-D or pre-activation ResNet as torchvision or timm has it, or one "
    "for CIFAR; other nets are read from their ONNX files, by exporter probe"
)
# What is found, and a pattern that only its names have; the first that is found counts.
MARKS: Mapping[str, str] = {
    "a Swin transformer": r"relative_position_bias_table",
    "an MLP-Mixer": r"\.mlp_tokens\.",
    "a Vision Transformer (ViT)": r"(?:^|\.)(?:cls_token|pos_embed|pos_embedding|class_token)$|\.attn\.qkv\.",
    "an EfficientNet or MobileNet": r"(?:^|\.)_?conv_stem\.|(?:^|\.)features\.(?:\d+\.)+(?:block|conv)\.",
    "a ConvNeXt": r"\.conv_dw\.|\.dwconv\.|downsample_layers\.|features\.\d+\.\d+\.layer_scale$",
    "a DenseNet": r"\.?denseblock\d+\.",
    "a RegNet": r"(?:^|\.)(?:trunk_output\.|s\d\.b\d+\.)",
    "an Inception net": r"(?:^|\.)(?:Mixed_\d|inception\d)",
    "a VGG, AlexNet or SqueezeNet": r"(?:^|\.)(?:classifier\.6|pre_logits\.fc1)\.weight$|\.squeeze\.weight$",
    "a DLA": r"(?:^|\.)level\d\.",
    "a ResNeSt (split attention)": r"\.conv2\.fc1\.",
    "an SK-ResNet (selective kernels)": r"\.conv\d\.(?:paths|attn)\.",
    "a Res2Net": r"\.convs\.\d+\.",
    "an SE-ResNet (squeeze and excitation, or another attention over channels)": r"\.(?:se|se_module|se_layer|attn)\.",
    "a ResNet whose max pool is a convolution (ResNet-RS)": r"^maxpool\.",
    "a quantised net": r"\._packed_params|\.zero_point$",
}

ALIASING = re.compile(r"(?:^|[^a-z])(?:se|eca)?resnet(?:aa|blur)\d", re.IGNORECASE)  # names of files


def refuse(names: Collection[str], path: Path) -> None:
    """Raises CheckpointError if names of weights, or that of the file, are those of a net that cannot be read."""
    if ALIASING.search(path.name):
        raise CheckpointError(
            f"{path} is called like a net with filters against aliasing, which have no weights, so it would be read as "
            "another net: use exporter probe on its ONNX file, or rename the file if it has no such filters"
        )
    for net, mark in MARKS.items():
        if (found := next((name for name in names if re.search(mark, name)), None)) is not None:
            raise CheckpointError(f"{path} holds {net}, by its {found}: {SUPPORTED}")
