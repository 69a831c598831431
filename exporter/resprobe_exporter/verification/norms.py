"""Compares what inspect.onnx alone returns: norms at every position and in every channel, and the last readout."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from resprobe_protos.contract import CHANNELS, LOGITS, MAPS, READOUTS

from resprobe_exporter.errors import CheckFailed
from resprobe_exporter.verification.reference import Array, Reference

OPERANDS = ("F(x)", "s(x)")
Outputs = Mapping[str, npt.NDArray[np.float32]]


def compare_norms(outputs: Outputs, reference: Reference, file: str) -> None:
    """Compares norms block by block; the error is the length of the difference, relative to that of the norms.

    Raises:
        CheckFailed: They differ by more than the tolerance, or the last readout is not the logits.
    """
    for name, expected in ((MAPS, reference.norms.maps), (CHANNELS, reference.norms.channels)):
        _compare(outputs[name].astype(np.float64), expected, name, reference, file)
    if READOUTS not in outputs:
        return
    readout, logits = outputs[READOUTS][:, -1].astype(np.float64), outputs[LOGITS].astype(np.float64)
    if not np.abs(readout - logits).max() <= reference.tolerance * np.abs(logits).max():
        raise CheckFailed(f"the last readout of {file} is not its logits")


def _compare(found: Array, expected: Sequence[Array], name: str, reference: Reference, file: str) -> None:
    sizes = [one.shape[2] for one in expected]
    if found.shape != (len(reference.inputs), len(OPERANDS), sum(sizes)):
        raise CheckFailed(f"{file} returns {name} {list(found.shape)} for blocks of {sizes} values")
    parts = np.split(found, np.cumsum(sizes)[:-1], axis=2)
    for block, one, other in zip(reference.blocks, parts, expected, strict=True):
        difference, length = (np.linalg.norm(value, axis=2) for value in (one - other, other))
        errors = np.divide(difference, length, out=np.where(difference == 0, 0.0, np.inf), where=length > 0)
        if not (errors <= reference.tolerance).all():
            image, operand = np.unravel_index(np.argmax(np.nan_to_num(errors, nan=np.inf)), errors.shape)
            raise CheckFailed(
                f"{block}: {name} of {OPERANDS[operand]} of image {image} differ in {file} from {reference.source} by "
                f"{errors[image, operand]:.1e} of their length (maximum {reference.tolerance:.0e})"
            )
