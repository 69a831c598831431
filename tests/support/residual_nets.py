"""Small nets with the operators of those that people have: ViT, Swin, MLP-Mixer, ConvNeXt, a residual MLP."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE, CLASSES = 16, 5


class Residual(nn.Module):
    """x + F(x). It keeps both operands of its last call, and leaves F out if it is cut."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.is_cut = False
        self.seen: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.branch(x)
        self.seen = branch, x
        return x if self.is_cut else x + branch


class Scale(nn.Module):
    """A factor for each channel, the last axis, or as ConvNeXt has it the second."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(shape) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Permute(nn.Module):
    """Another order of axes."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.axes)


class Attention(nn.Module):
    """Self-attention of tokens [n, t, c], as timm writes it."""

    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.norm, self.heads = nn.LayerNorm(width), heads
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(q, k, v)
        projected: Tensor = self.project(attended.transpose(1, 2).reshape(n, t, c))
        return projected


class WindowAttention(nn.Module):
    """Attention within windows of [n, h, w, c] that are rolled by half of one, with sizes read while it runs."""

    def __init__(self, width: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.attention = Attention(width)

    def forward(self, x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        size = self.window
        x = torch.roll(x, (-self.shift, -self.shift), (1, 2)) if self.shift else x
        x = functional.pad(x, (0, 0, 0, (size - w % size) % size, 0, (size - h % size) % size))
        rows, columns = x.shape[1:3]
        windows = x.view(n, rows // size, size, columns // size, size, c).permute(0, 1, 3, 2, 4, 5)
        attended = self.attention(windows.reshape(-1, size * size, c)).view(-1, size, size, c)
        x = attended.view(-1, rows // size, columns // size, size, size, c).permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(-1, rows, columns, c)[:, :h, :w, :]
        return torch.roll(x, (self.shift, self.shift), (1, 2)) if self.shift else x


def mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))


class ViT(nn.Module):
    """Two layers of 17 tokens, the first of which is the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.token, self.positions = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 17, 8))
        blocks = (Residual(make(8)) for _ in range(2) for make in (Attention, mlp))
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        scores: Tensor = self.head(self.blocks(x)[:, 0])
        return scores


class Swin(nn.Module):
    """Two stages of one layer with and one without a roll; attention in [n, h, w, c], MLPs in [n, t, c]."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.merge = nn.Conv2d(3, 8, 2, 2), nn.Linear(32, 16)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(Residual(one) for shift in (0, 1) for one in (WindowAttention(width, 3, shift), mlp(width)))
            )
            for width in (8, 16)
        )
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).permute(0, 2, 3, 1)
        for number, stage in enumerate(self.stages):
            if number:
                n, h, w, c = x.shape
                x = x.reshape(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 4, 2, 5).flatten(3)
                x = self.merge(x)
            assert isinstance(stage, nn.Sequential)
            for attention, perceptron in zip(list(stage)[::2], list(stage)[1::2], strict=True):
                n, h, w, c = x.shape
                x = perceptron(attention(x).reshape(n, -1, c)).reshape(n, h, w, c)
        scores: Tensor = self.head(x.mean((1, 2)))
        return scores


class Mixer(nn.Module):
    """Two layers of 16 tokens: an MLP over tokens, an MLP over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        layers = (one for _ in range(2) for one in (self._over_tokens(), mlp(8)))
        self.blocks = nn.Sequential(*(Residual(one) for one in layers))
        self.head = nn.Linear(8, CLASSES)

    def _over_tokens(self) -> nn.Sequential:
        _, first, activation, second = mlp(16)
        return nn.Sequential(nn.LayerNorm(8), Permute(0, 2, 1), first, activation, second, Permute(0, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.blocks(self.embed(x).flatten(2).transpose(1, 2)).mean(1))
        return scores


class ConvNeXt(nn.Module):
    """Two stages of two blocks; the sums are [n, c, h, w], or [n, h, w, c] if channels_last."""

    def __init__(self, channels_last: bool = False) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.first, self.second = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 12, 2, 2)
        self.stages = nn.ModuleList(nn.Sequential(*(self._block(width) for _ in range(2))) for width in (8, 12))
        self.head = nn.Linear(12, CLASSES)

    def _block(self, width: int) -> Residual:
        before, after = [nn.Conv2d(width, width, 3, 1, 1, groups=width), Permute(0, 2, 3, 1)], [Permute(0, 3, 1, 2)]
        if self.channels_last:
            before, after = [Permute(0, 3, 1, 2), *before], []
        return Residual(nn.Sequential(*before, *mlp(width), Scale(width), *after))

    def forward(self, x: Tensor) -> Tensor:
        for merge, stage in zip((self.first, self.second), self.stages, strict=True):
            x = merge(x)
            x = stage(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if self.channels_last else stage(x)
        scores: Tensor = self.head(x.mean((2, 3)))
        return scores


class Vectors(nn.Module):
    """A residual MLP of images as vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3 * SIZE * SIZE, 24)
        self.blocks = nn.Sequential(*(Residual(mlp(24)) for _ in range(3)))
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.blocks(self.first(x.flatten(1))))
        return scores


@dataclass(frozen=True)
class Kind:
    """A net, and its blocks as they must be described: name, channels, height, width, branch, axes."""

    make: Callable[[], nn.Module]
    blocks: tuple[tuple[str, int, int, int, str, tuple[str, ...]], ...]


TOKENS, IMAGE, LAST = ("tokens", "channels"), ("channels", "height", "width"), ("height", "width", "channels")
LAYERS = [(f"block{index}.{kind}", kind) for index in range(2) for kind in ("attention", "mlp")]
STAGES = ((1, 8, 8), (2, 12, 4))
KINDS: Mapping[str, Kind] = {
    "vit": Kind(ViT, tuple((f"stage1.{name}", 8, 17, 1, kind, TOKENS) for name, kind in LAYERS)),
    "swin": Kind(
        Swin,
        tuple(
            (
                f"stage{stage}.{name}",
                width,
                *((size, size, kind, LAST) if kind == "attention" else (size**2, 1, kind, TOKENS)),
            )
            for stage, width, size in ((1, 8, 8), (2, 16, 4))
            for name, kind in LAYERS
        ),
    ),
    "mixer": Kind(Mixer, tuple((f"stage1.block{index}.mlp", 8, 16, 1, "mlp", TOKENS) for index in range(4))),
    "convnext": Kind(
        ConvNeXt,
        tuple((f"stage{stage}.block{index}", c, h, h, "conv", IMAGE) for stage, c, h in STAGES for index in range(2)),
    ),
    "convnext, channels last": Kind(
        lambda: ConvNeXt(channels_last=True),
        tuple((f"stage{stage}.block{index}", c, h, h, "conv", LAST) for stage, c, h in STAGES for index in range(2)),
    ),
    "vectors": Kind(Vectors, tuple((f"stage1.block{index}.mlp", 24, 1, 1, "mlp", ("channels",)) for index in range(3))),
}


def make(name: str) -> nn.Module:
    torch.manual_seed(5)
    return KINDS[name].make().eval()


def residuals(net: nn.Module) -> list[Residual]:
    return [module for module in net.modules() if isinstance(module, Residual)]


def export(net: nn.Module, path: Path, is_new: bool = True) -> Path:
    if is_new:
        options = {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("n")},), "verbose": False}
    else:
        options = {"dynamo": False, "opset_version": 17, "dynamic_axes": {"x": {0: "n"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters
        example = torch.zeros(2, 3, SIZE, SIZE)
        torch.onnx.export(net, (example,), path, input_names=["x"], output_names=["y"], **options)  # type: ignore[arg-type]
    return path
