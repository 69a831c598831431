"""Frames as Parquet files and Arrow tables: one row for each image, the model's description beside them. Needs pyarrow.

Whoever has the file needs no server: what is known of the model (blocks, closed forms, baseline) is in it.
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
from resprobe._results.model import Baseline, Block, Model
from resprobe._results.statistics import STATISTICS, BlockStatistics
from resprobe.analysis.dataset_result import Frame
from resprobe.errors import Error


def schema(model: Model, dataset: str, notes: Sequence[str] = ()) -> pa.Schema:
    """Columns of a frame, and what is known of it as JSON in the schema's metadata.

    Columns: `index` of the image in the data set; `file`, null unless it is a picture file; `label`, null if it is
    not known, and `predicted`, both indices into the model's classes; `probability` of the predicted class; then each
    statistic as list<float>, in the order of the model's blocks. Metadata: `dataset`, its name; `notes`, sentences on
    what was assumed; `model`, the fields of resprobe.Model.
    """
    fields = [
        pa.field("index", pa.int64(), nullable=False),
        pa.field("file", pa.string()),
        pa.field("label", pa.int32()),
        pa.field("predicted", pa.int32(), nullable=False),
        pa.field("probability", pa.float32(), nullable=False),
        *(pa.field(name, pa.list_(pa.float32()), nullable=False) for name in STATISTICS),
    ]
    known = {"dataset": json.dumps(dataset), "notes": json.dumps(notes), "model": json.dumps(model, default=_plain)}
    return pa.schema(fields, metadata=known)


def _plain(value: Any) -> dict[str, Any]:
    """Mappings that JSON does not know, and dataclasses."""
    return dict(value) if isinstance(value, Mapping) else vars(value)


def table(frame: Frame) -> pa.Table:
    """A frame as an Arrow table; see `schema`."""
    count = len(frame)
    columns = [
        pa.array(frame.index),
        pa.nulls(count, pa.string()) if frame.files is None else pa.array(frame.files, pa.string()),
        pa.nulls(count, pa.int32()) if frame.labels is None else pa.array(frame.labels.astype(np.int32)),
        pa.array(frame.predicted.astype(np.int32)),
        pa.array(frame.probability),
        *(_lists(getattr(frame.blocks, name)) for name in STATISTICS),
    ]
    return pa.Table.from_arrays(columns, schema=schema(frame.model, frame.dataset, frame.notes))


def columns(**arrays: Any) -> pa.Table:
    """Arrays or lists of one length as an Arrow table: how every result of an analysis is handed on."""
    return pa.table({name: pa.array(values) for name, values in arrays.items()})


def _lists(values: npt.NDArray[np.float32]) -> pa.Array:
    """[n, L] as n lists."""
    n, length = values.shape
    return pa.ListArray.from_arrays(np.arange(0, n * length + 1, length, dtype=np.int32), pa.array(values.ravel()))


def write(frame: Frame, path: Path) -> None:
    """Writes a frame; the file appears under its name when all of it is written, or not at all.

    Raises:
        Error: It cannot be written.
    """
    # pyarrow is given no path, because it removes what it cannot write, be it a device.
    with _files.replacing(path) as part, part.open("wb") as file:
        pq.write_table(table(frame), file)


def read(path: Path) -> Frame:
    """Reads what `write` wrote.

    Raises:
        Error: It cannot be read, or is no such file.
    """
    try:
        with path.open("rb") as file:  # the system's reasons are clearer than pyarrow's
            found = pq.read_table(file)
    except OSError as error:
        raise Error(f"{path} cannot be read: {error.strerror or error}") from error
    except pa.ArrowInvalid as error:
        raise Error(f"{path} is no Parquet file") from error
    try:
        known = {key.decode(): json.loads(value) for key, value in (found.schema.metadata or {}).items()}
        return _frame(found, _model(known["model"]), known["dataset"], tuple(known.get("notes", ())))
    except (KeyError, TypeError, ValueError) as error:
        raise Error(f"{path} is not what `resprobe blocks --out` writes: {error!r}") from error


def _frame(found: pa.Table, model: Model, dataset: str, notes: tuple[str, ...]) -> Frame:
    if not found.num_rows:
        raise ValueError("it holds no images")
    names = [block.name for block in model.blocks]
    shape = (found.num_rows, len(names))
    arrays = [found[name].combine_chunks().flatten().to_numpy().reshape(shape) for name in STATISTICS]
    labels, files = found["label"], found["file"]
    return Frame(
        model,
        dataset,
        found["index"].to_numpy(),
        None if files.null_count else tuple(files.to_pylist()),
        None if labels.null_count else labels.to_numpy().astype(np.int64),
        found["predicted"].to_numpy().astype(np.int64),
        found["probability"].to_numpy(),
        BlockStatistics(names, *arrays),
        notes,
    )


def _model(fields: dict[str, Any]) -> Model:
    blocks = tuple(_block(block) for block in fields["blocks"])
    words = {name: tuple(fields[name]) for name in ("classes", "statistics")}
    return Model(**{**fields, **words, "blocks": blocks})


def _block(fields: dict[str, Any]) -> Block:
    baseline = {
        name: Baseline(one["mean"], {float(key): value for key, value in one["quantiles"].items()})
        for name, one in fields["baseline"].items()
    }
    return Block(**{**fields, "baseline": baseline})
