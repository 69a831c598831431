"""Noise of quantisation by block, as the description of a quantised model has it."""

from collections.abc import Mapping
from dataclasses import dataclass

from resprobe._results.model import Model
from resprobe._results.tabular import Column, Tabular

OVER = ("test", "calibration")  # images whose noise is shown, the first that there are
Row = tuple[str, float, float, float, float]


@dataclass(frozen=True)
class NoiseOfBlocks(Tabular):
    """Noise of a quantised model in each block. As a table it has one row for each block.

    Attributes:
        model: Quantised model.
        over: Images that the noise was measured over when the model was made: test or calibration.
    """

    model: Model
    over: str

    def rows(self) -> list[Row]:
        """Returns for each block its name, noise of branch and sum, and mean ratio in float32 and as quantised."""
        found = [(block.name, block.noise[self.over]) for block in self.model.blocks if self.over in block.noise]
        return [(name, one.branch, one.sum, one.ratio_before, one.ratio_after) for name, one in found]

    def sentence(self) -> str:
        """Returns what the model was made of and where it is noisiest, as a sentence."""
        name, branch, *_ = max(self.rows(), key=lambda row: row[1])
        moved, _, _, before, after = max(self.rows(), key=lambda row: abs(row[4] / row[3] - 1) if row[3] else 0)
        ratio = f" The ratio moves most in {moved}, from {before:.4f} to {after:.4f}." if before != after else ""
        return (
            f"{_made_of(self.model)}. Over the {self.over} images it was measured on, its noisiest branch is that of "
            f"{name}: it differs from float32 by {branch:.2%} of its norm.{ratio}"
        )

    def __repr__(self) -> str:
        """Returns one line: the model, the images and the number of blocks."""
        name = f"{self.model.name}/{self.model.version}"
        return f"NoiseOfBlocks({name!r}, over={self.over!r}, blocks={len(self.rows())})"

    def _columns(self) -> Mapping[str, Column]:
        names, branch, total, before, after = zip(*self.rows(), strict=True)
        return {"block": names, "branch": branch, "sum": total, "ratio_before": before, "ratio_after": after}


def noise_of(model: Model) -> NoiseOfBlocks | None:
    """Returns the noise of a model. If None, it was not quantised or has no residual blocks."""
    over = next((name for name in OVER if any(name in block.noise for block in model.blocks)), None)
    return None if model.quantization is None or over is None else NoiseOfBlocks(model, over)


def noise_between(a: Model, b: Model) -> NoiseOfBlocks | None:
    """Returns the noise of that of two models which was quantised from the other. If None, neither was."""
    for one, other in ((a, b), (b, a)):
        made_of = one.quantization
        if made_of is not None and (made_of.source_name, made_of.source_version) == (other.name, other.version):
            return noise_of(one)
    return None


def _made_of(model: Model) -> str:
    made_of = model.quantization
    source = "" if made_of is None else f", made of {made_of.source_name} version {made_of.source_version}"
    kept = "" if made_of is None else _kept(made_of.float_blocks)
    return f"{model.name} version {model.version} is in {model.precision}{source}{kept}"


def _kept(blocks: tuple[str, ...]) -> str:
    return f", with {', '.join(blocks)} in float32" if blocks else ""
