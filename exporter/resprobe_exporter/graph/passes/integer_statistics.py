"""Block statistics of 8-bit tensors in whole numbers: no tap makes a float copy of a tensor.

A branch is a·(f − z) and its shortcut b·(g − w), with unsigned codes f and g, scales a and b, zero points z and w. One
MatMulInteger for each block computes all that its statistics need. Its rows are PIECES pieces of f, as many of g, and
one of ones; its columns are the same pieces of f and g less 128. Sums over the diagonals and the last row are exact:

    Σ f·(f − 128)   Σ f·(g − 128)   Σ g·(g − 128)   Σ (f − 128)   Σ (g − 128)

A linear map in float64 makes the four statistics' sums of these five.

What decides the cost on ONNX Runtime's CPU kernels (figures: benchmarks/README.md):

- Its product of unsigned and signed codes takes half the time of one of unsigned codes; 16 columns, the fewest that are
  packed fast, are half as many products as three separate ones need. Add, Cast and Transpose of bytes are cheap;
  BitwiseXor and every reduction of integers are slow.
- Where convolutions are quantised, ONNX Runtime keeps tensors as [n, h, w, c]. The taps read them in this order, so
  that none is transposed for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from resprobe_protos.contract import BLOCKS

from resprobe_exporter.graph.quantised import codes
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.graph.utils import branch_shape, constant, join

PIECES = (8, 16, 32)  # of a tensor; more where the sum over a piece could exceed 32 bits
LARGEST_TERM = 255 * 128
HALF = 128  # what makes signed codes of unsigned ones
MOMENTS = 5


@dataclass(frozen=True, eq=False)
class IntegerTap:
    """Sums of one block.

    Attributes:
        index: Place of the block among all blocks.
        products: int32 [n, 2·pieces + 1, 2·pieces], each entry a sum over a piece.
        pieces: Pieces of a tensor.
        linear: Map from the five moments to the statistics' sums of whole numbers, [5, 4].
        offset: Constant part of these sums, [4].
        scale: Factors that make real numbers of them, [4].
    """

    index: int
    products: ir.Value
    pieces: int
    linear: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]


def is_tappable(addition: ResidualAddition) -> bool:
    """Returns whether both operands are images of unsigned 8-bit codes, of a size that divides into pieces."""
    operands = codes(addition.branch), codes(addition.shortcut)
    unsigned = all(one is not None and one.tensor.dtype == ir.DataType.UINT8 for one in operands)
    return unsigned and len(branch_shape(addition)) == 3 and _pieces(addition) is not None


def tap(graph: ir.Graph, addition: ResidualAddition, index: int) -> tuple[IntegerTap, Sequence[ir.Node]]:
    """Adds what a block's products are computed of, just before its addition.

    Returns:
        The tap, and the last nodes of it, which are to be added to the graph.
    """
    branch, shortcut, pieces = codes(addition.branch), codes(addition.shortcut), _pieces(addition)
    if branch is None or shortcut is None or pieces is None:
        raise ir.passes.PreconditionError(f"the operands of {addition.node.name} have no unsigned 8-bit codes")
    name = f"{BLOCKS}/{index}"
    tape = ir.tape.Tape()
    images = [tape.op("Transpose", [one.tensor], {"perm": [0, 2, 3, 1]}) for one in (branch, shortcut)]
    both = tape.op("Concat", images, {"axis": 1}, name=f"{name}/codes")
    rows = tape.op("Reshape", [both, constant(graph, f"{BLOCKS}/rows{pieces}", np.array([0, 2 * pieces, -1]))])
    half = constant(graph, f"{BLOCKS}/half", np.array(HALF, np.uint8))
    columns = tape.op("Sub", [tape.op("Transpose", [rows], {"perm": [0, 2, 1]}), half])  # modulo 256
    signed = tape.op("Cast", [columns], {"to": ir.DataType.INT8})
    ends = constant(graph, f"{BLOCKS}/ends", np.array([0, 0, 0, 0, 1, 0]))
    with_ones = tape.op("Pad", [rows, ends, constant(graph, f"{BLOCKS}/one", np.array(1, np.uint8))])
    graph.insert_before(addition.node, tape.nodes)
    tail = ir.tape.Tape()
    products = tail.op("MatMulInteger", [with_ones, signed], name=f"{name}/products")
    size = int(np.prod(branch_shape(addition)))
    linear, offset = _map(branch.zero_point - HALF, shortcut.zero_point - HALF, size)
    scale = [branch.scale**2, shortcut.scale**2, branch.scale * shortcut.scale, branch.scale / size]
    return IntegerTap(index, products, pieces, linear, offset, np.array(scale)), tail.nodes


def sums(graph: ir.Graph, taps: Sequence[IntegerTap]) -> tuple[list[int], ir.Value]:
    """Adds the linear maps.

    Returns:
        The places of the blocks, and their sums in this order, float32 [n, blocks, 4].
    """
    tape = ir.tape.Tape(graph)
    order = sorted(taps, key=lambda one: (one.pieces, one.index))
    groups = [list(group) for _, group in groupby(order, key=lambda one: one.pieces)]
    moments = [_moments(graph, tape, group) for group in groups]
    joined = join(tape, moments, 1)
    axis = constant(graph, f"{BLOCKS}/moments", np.array([2]))
    linear, offset, scale = (
        constant(graph, f"{BLOCKS}/integer_{name}", np.stack([getattr(one, name) for one in order]))
        for name in ("linear", "offset", "scale")
    )
    mapped = tape.op("Squeeze", [tape.op("MatMul", [tape.op("Unsqueeze", [joined, axis]), linear]), axis])
    exact = tape.op("Add", [mapped, offset])  # scaled only now: what is 0 stays 0, and has a root
    total = tape.op("Cast", [tape.op("Mul", [exact, scale])], {"to": ir.DataType.FLOAT})
    return [one.index for one in order], total


def _moments(graph: ir.Graph, tape: ir.tape.Tape, taps: Sequence[IntegerTap]) -> ir.Value:
    """Sums over pieces: the five moments of blocks with so many pieces, float64 [n, blocks, 5]."""
    pieces, products = taps[0].pieces, [one.products for one in taps]
    shape = np.array([0, len(taps), (2 * pieces + 1) * 2 * pieces])
    joined = join(tape, products, 1)
    rows = tape.op("Reshape", [joined, constant(graph, f"{BLOCKS}/products{pieces}", shape)])
    exact = tape.op("Cast", [rows], {"to": ir.DataType.DOUBLE})
    return tape.op("MatMul", [exact, constant(graph, f"{BLOCKS}/diagonals{pieces}", _diagonals(pieces))])


def _diagonals(pieces: int) -> npt.NDArray[np.float64]:
    """Returns the matrix that picks and adds the entries of each moment, [entries, 5]."""
    picked = np.zeros((2 * pieces + 1, 2 * pieces, MOMENTS))
    branch, shortcut = np.arange(pieces), np.arange(pieces, 2 * pieces)
    picked[branch, branch, 0] = picked[branch, shortcut, 1] = picked[shortcut, shortcut, 2] = 1
    picked[-1, branch, 3] = picked[-1, shortcut, 4] = 1
    return picked.reshape(-1, MOMENTS)


def _map(z: int, w: int, size: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns what makes sums of whole numbers of the moments: [5, 4], and the constant part [4].

    These are Σ (f − z)², Σ (g − w)², Σ (f − z)·(g − w) and Σ (f − z), with zero points less HALF.
    """
    linear = np.zeros((MOMENTS, 4))
    linear[[0, 3], 0] = 1, -HALF - 2 * z
    linear[[2, 4], 1] = 1, -HALF - 2 * w
    linear[[1, 3, 4], 2] = 1, -w, -HALF - z
    linear[3, 3] = 1
    return linear, np.array([size * z * z, size * w * w, size * z * w, -size * z], np.float64)


def _pieces(addition: ResidualAddition) -> int | None:
    """Returns the fewest pieces whose sums fit into 32 bits. If None, the size does not divide into so many."""
    size = int(np.prod(branch_shape(addition)))
    fitting = (one for one in PIECES if size % one == 0 and size // one * LARGEST_TERM < 2**31)
    return next(fitting, None)
