"""Names of weights in other implementations of residual nets, as data: what each is called here.

A spelling is recognised by a mark, a pattern that one of its names has. Names here are those of our modules:
stage1.block0.conv1.weight, stem.layer0.bn.bias, linear.weight.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

Replacements = tuple[tuple[str, str], ...]

_STAGES: Replacements = ((r"^layer(\d+)\.(\d+)\.", r"stage\1.block\2."),)
_STEM: Replacements = (  # timm's deep stems, in which activations have numbers too
    (r"^conv1\.0\.", "stem.layer0.conv."),
    (r"^conv1\.1\.", "stem.layer0.bn."),
    (r"^conv1\.3\.", "stem.layer1.conv."),
    (r"^conv1\.4\.", "stem.layer1.bn."),
    (r"^conv1\.6\.", "conv1."),
)
_SHORTCUT: Replacements = (
    (r"\.downsample\.", ".shortcut."),
    (r"\.shortcut\.0\.", ".shortcut.conv."),
    (r"\.shortcut\.1\.", ".shortcut.bn."),
)
_AVERAGED_SHORTCUT: Replacements = (  # the average comes first, and has no weights
    (r"\.downsample\.1\.", ".shortcut.conv."),
    (r"\.downsample\.2\.", ".shortcut.bn."),
)
_LINEAR: Replacements = ((r"^fc\.", "linear."),)


@dataclass(frozen=True)
class Spelling:
    """Names of weights in one implementation.

    Attributes:
        name: Name of the implementation.
        mark: Pattern that one of its names has, and no name of the spellings before it in SPELLINGS.
        replacements: Patterns and what replaces them, in this order.
        first_stage: Number of the first stage.
        averaged: Whether shortcuts average before they project. If None, names do not tell.
    """

    name: str
    mark: str
    replacements: Replacements
    first_stage: int = 1
    averaged: bool | None = False

    def translate(self, name: str) -> str:
        """Returns our name of a weight."""
        for pattern, replacement in self.replacements:
            name = re.sub(pattern, replacement, name)
        if self.first_stage == 1:
            return name
        return re.sub(r"^stage(\d+)\.", lambda found: f"stage{int(found[1]) + 1 - self.first_stage}.", name)


SPELLINGS = (
    Spelling(
        "timm's resnetv2",
        r"^stages\.\d+\.blocks\.\d+\.(?:norm|conv)\d\.",
        (
            (r"^stages\.(\d+)\.blocks\.(\d+)\.", r"stage\1.block\2."),
            (r"\.norm(\d)\.", r".bn\1."),
            (r"\.downsample\.norm\.", ".shortcut.bn."),
            (r"\.downsample\.", ".shortcut."),
            (r"^stem\.conv1\.", "stem.layer0.conv."),
            (r"^stem\.conv2\.", "stem.layer1.conv."),
            (r"^stem\.(?:norm|bn)1\.", "stem.layer0.bn."),
            (r"^stem\.(?:norm|bn)2\.", "stem.layer1.bn."),
            (r"^stem\.conv3?\.", "conv1."),
            (r"^stem\.(?:norm|bn)3?\.", "bn1."),
            (r"^norm\.", "bn."),
            (r"^head\.fc\.", "linear."),
        ),
        first_stage=0,
        averaged=None,
    ),
    Spelling(
        "Hugging Face's",
        r"(?:^|\.)embedder\.embedder\.convolution\.",
        (
            (r"^resnet\.", ""),
            (r"^embedder\.embedder\.convolution\.", "conv1."),
            (r"^embedder\.embedder\.normalization\.", "bn1."),
            (r"^encoder\.stages\.(\d+)\.layers\.(\d+)\.", r"stage\1.block\2."),
            *((rf"\.layer\.{place}\.convolution\.", f".conv{place + 1}.") for place in range(3)),
            *((rf"\.layer\.{place}\.normalization\.", f".bn{place + 1}.") for place in range(3)),
            (r"\.shortcut\.convolution\.", ".shortcut.conv."),
            (r"\.shortcut\.normalization\.", ".shortcut.bn."),
            (r"^classifier\.1\.", "linear."),
        ),
        first_stage=0,
    ),
    Spelling("timm's ResNet-D", r"\.downsample\.2\.", (*_STAGES, *_STEM, *_AVERAGED_SHORTCUT, *_LINEAR), averaged=True),
    Spelling("torchvision's", "", (*_STAGES, *_STEM, *_SHORTCUT, *_LINEAR)),
)


def recognise(names: Collection[str]) -> Spelling:
    """Returns the spelling of a net's weights; torchvision's, which ours resembles, if no other is marked."""
    return next(one for one in SPELLINGS if any(re.search(one.mark, name) for name in names))
