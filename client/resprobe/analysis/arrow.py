"""Frames as Parquet files: one row for each image, the model's description beside them. Needs pyarrow.

A file can be read without a server: what is known of the model (blocks, closed forms, baseline) is in it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from resprobe import _files
from resprobe._pictures.resize_and_crop import ResizeAndCrop
from resprobe._results.model import Baseline, Block, Model, Noise, Quantization, Readout
from resprobe._results.statistics import STATISTICS, BlockStatistics
from resprobe.analysis.dataset_result import Frame
from resprobe.errors import Error

# 1: resprobe 0.1, whose files name no format; each statistic is list<float> in the order of the model's blocks.
# 2: each statistic is a struct with a field for each block.
FORMAT = 2


def schema(model: Model, dataset: str, notes: Sequence[str] = ()) -> pa.Schema:
    """Returns the columns of a file, and what is known of them as JSON in the schema's metadata.

    Columns: `index` of the image in the data set; `file`, null unless it is a picture file; `label`, null if it is
    not known, and `predicted`, both indices into the model's classes; `probability` of the predicted class; then each
    statistic as a struct of floats with the names of the model's blocks. `write` may add `depth`, the prediction depth
    as the place of a block, and `influence`, a struct like the statistics. Metadata: `format`, its version; `dataset`,
    its name; `notes`, sentences on what was assumed; `model`, the fields of resprobe.Model.
    """
    blocks = pa.struct([pa.field(block.name, pa.float32(), nullable=False) for block in model.blocks])
    fields = [
        pa.field("index", pa.int64(), nullable=False),
        pa.field("file", pa.string()),
        pa.field("label", pa.int32()),
        pa.field("predicted", pa.int32(), nullable=False),
        pa.field("probability", pa.float32(), nullable=False),
        *(pa.field(name, blocks, nullable=False) for name in STATISTICS),
    ]
    known = {"format": FORMAT, "dataset": dataset, "notes": notes, "model": model}
    return pa.schema(fields, metadata={name: json.dumps(value, default=_plain) for name, value in known.items()})


def _plain(value: Any) -> dict[str, Any]:
    """Converts what json does not know: mappings and dataclasses."""
    return dict(value) if isinstance(value, Mapping) else vars(value)


def to_table(frame: Frame) -> pa.Table:
    """Returns what a file of a frame holds."""
    count, written = len(frame), schema(frame.model, frame.dataset, frame.notes)
    columns = [
        pa.array(frame.index),
        pa.nulls(count, pa.string()) if frame.files is None else pa.array(frame.files, pa.string()),
        pa.nulls(count, pa.int32()) if frame.labels is None else pa.array(frame.labels.astype(np.int32)),
        pa.array(frame.predicted.astype(np.int32)),
        pa.array(frame.probability),
        *(_struct(getattr(frame.blocks, name), written.field(name).type) for name in STATISTICS),
    ]
    return pa.Table.from_arrays(columns, schema=written)


def _struct(values: npt.NDArray[np.float32], kind: pa.StructType) -> pa.StructArray:
    """Returns [n, L] as n structs of L fields."""
    return pa.StructArray.from_arrays([pa.array(column) for column in values.T], fields=list(kind))


def _with(table: pa.Table, frame: Frame, influence: bool) -> pa.Table:
    """Adds columns that not every file of this format has."""
    if frame.depth is not None:
        column = pa.array(frame.depth.astype(np.int32))
        table = table.append_column(pa.field("depth", pa.int32(), nullable=False), column)
    if influence:
        kind = table.schema.field(STATISTICS[0]).type
        values = _struct(frame.blocks.influence.astype(np.float32), kind)
        table = table.append_column(pa.field("influence", kind), values)
    return table


def write(frame: Frame, path: Path, influence: bool = False) -> None:
    """Writes a frame; the file appears under its name when all of it is written, or not at all.

    Args:
        frame: Frame to write. If its prediction depths are known, they are the column `depth`: places of blocks.
        path: File to write.
        influence: Whether to add the column `influence`, 1 − cos(s, s + F) as a struct like the statistics.

    Raises:
        Error: It cannot be written.
    """
    # pyarrow is given no path, because it removes what it cannot write, be it a device.
    with _files.replacing(path) as part, part.open("wb") as file:
        pq.write_table(_with(to_table(frame), frame, influence), file)


def read(path: Path) -> Frame:
    """Reads a file that `write` wrote, of this format or an older one.

    Raises:
        Error: It cannot be read, is not such a file, or has a newer format.
    """
    try:
        with path.open("rb") as file:  # the system's reasons are clearer than pyarrow's
            found = pq.read_table(file)
    except OSError as error:
        raise Error(f"{path} cannot be read: {error.strerror or error}") from error
    except pa.ArrowInvalid as error:
        raise Error(f"{path} is not a Parquet file") from error
    try:
        known = {key.decode(): json.loads(value) for key, value in (found.schema.metadata or {}).items()}
        if (version := int(known.get("format", 1))) <= FORMAT:
            return _frame(found, _model(known["model"]), known["dataset"], tuple(known.get("notes", ())))
    except (KeyError, TypeError, ValueError) as error:
        raise Error(f"{path} is not a file that `resprobe blocks --out` wrote: {error!r}") from error
    raise Error(f"{path} has format {version}, and this resprobe reads formats 1 to {FORMAT}: upgrade resprobe")


def _frame(found: pa.Table, model: Model, dataset: str, notes: tuple[str, ...]) -> Frame:
    if not found.num_rows:
        raise ValueError("it holds no images")
    names = [block.name for block in model.blocks]
    labels, files = found["label"], found["file"]
    return Frame(
        model,
        dataset,
        found["index"].to_numpy(),
        None if files.null_count else tuple(files.to_pylist()),
        None if labels.null_count else labels.to_numpy().astype(np.int64),
        found["predicted"].to_numpy().astype(np.int64),
        found["probability"].to_numpy(),
        BlockStatistics(names, *(_matrix(found[name].combine_chunks(), names) for name in STATISTICS)),
        notes,
        depth=_depth(found, len(names)),
    )


def _depth(found: pa.Table, blocks: int) -> npt.NDArray[np.int64] | None:
    """Returns the column `depth`, [n]. If None, there is none."""
    if "depth" not in found.column_names:
        return None
    column = found["depth"]
    depth: npt.NDArray[np.int64] = column.drop_null().to_numpy().astype(np.int64)
    if len(depth) < len(column) or depth.min() < 0 or depth.max() >= blocks:
        raise ValueError(f"its column depth should hold places of blocks, 0 to {blocks - 1}")
    return depth


def _matrix(column: pa.Array, names: Sequence[str]) -> npt.NDArray[np.float32]:
    """Returns a statistic as [n, L]: structs of format 2, or lists of format 1."""
    if pa.types.is_struct(column.type):
        return np.stack([column.field(name).to_numpy() for name in names], axis=1)
    values: npt.NDArray[np.float32] = column.flatten().to_numpy().reshape(len(column), len(names))
    return values


def _model(fields: dict[str, Any]) -> Model:
    blocks = tuple(_block(block) for block in fields["blocks"])
    several = {name: tuple(fields.get(name, ())) for name in ("classes", "statistics", "views", "mean", "std")}
    known, steps = fields.get("quantization"), fields.get("preprocessing")
    made_of = known and Quantization(**{**known, "float_blocks": tuple(known["float_blocks"])})
    preprocessing = None if steps is None else ResizeAndCrop(**steps)
    changed = {"blocks": blocks, "quantization": made_of, "preprocessing": preprocessing}
    return Model(**{**fields, **several, **changed})


def _block(fields: dict[str, Any]) -> Block:
    baseline = {
        name: Baseline(one["mean"], {float(key): value for key, value in one["quantiles"].items()})
        for name, one in fields["baseline"].items()
    }
    axes = tuple(fields.get("axes", ("channels", "height", "width")))  # files of earlier versions have none
    noise = {name: Noise(**one) for name, one in fields.get("noise", {}).items()}
    readout = fields.get("readout") and Readout(**fields["readout"])
    return Block(**{**fields, "baseline": baseline, "axes": axes, "noise": noise, "readout": readout})
