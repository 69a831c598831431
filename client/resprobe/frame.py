"""Block statistics of many images as a Parquet file: one row for each image, written as they come. Needs pyarrow."""

import json
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from resprobe.errors import Error
from resprobe.result import Model, Result
from resprobe.statistics import STATISTICS


def schema(model: Model, dataset: str) -> pa.Schema:
    """Columns of the file, and what is known of it as JSON in the schema's metadata.

    Columns: `index` of the image in the data set; `file`, null unless it is a picture file; `label`, null if it is
    not known, and `predicted`, both indices into the metadata's `classes`; `probability` of the predicted class;
    then each statistic as list<float>, in the order of the metadata's `blocks`.
    """
    known = {
        "model": model.name,
        "version": model.version,
        "dataset": dataset,
        "classes": list(model.classes),
        "blocks": [block.name for block in model.blocks],
    }
    fields = [
        pa.field("index", pa.int64(), nullable=False),
        pa.field("file", pa.string()),
        pa.field("label", pa.int32()),
        pa.field("predicted", pa.int32(), nullable=False),
        pa.field("probability", pa.float32(), nullable=False),
        *(pa.field(name, pa.list_(pa.float32()), nullable=False) for name in STATISTICS),
    ]
    return pa.schema(fields, metadata={key: json.dumps(value) for key, value in known.items()})


class ParquetFile:
    """A context that writes results; the file appears under its name when all is written, or not at all."""

    def __init__(self, path: Path, model: Model, dataset: str) -> None:
        """Opens the file.

        Args:
            path: To write.
            model: That answers.
            dataset: Name of what is classified.

        Raises:
            Error: It cannot be written.
        """
        self._path, self._schema, self._rows = path, schema(model, dataset), 0
        self._part = path.with_name(f".{path.name}.part")
        try:
            self._writer = pq.ParquetWriter(self._part, self._schema)
        except OSError as error:
            raise Error(f"{path} cannot be written: {error.strerror or error}") from error

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink()

    def write(self, result: Result, labels: npt.NDArray[np.int64] | None, files: list[str] | None) -> None:
        """Appends the images of a result, which has block statistics."""
        count = len(result)
        assert result.blocks is not None
        columns = [
            pa.array(np.arange(self._rows, self._rows + count)),
            pa.nulls(count, pa.string()) if files is None else pa.array(files),
            pa.nulls(count, pa.int32()) if labels is None else pa.array(labels.astype(np.int32)),
            pa.array(result.classes[:, 0].astype(np.int32)),
            pa.array(result.probabilities[:, 0]),
            *(_lists(getattr(result.blocks, name)) for name in STATISTICS),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._rows += count


def _lists(values: npt.NDArray[np.float32]) -> pa.Array:
    """[n, L] as n lists."""
    n, length = values.shape
    return pa.ListArray.from_arrays(np.arange(0, n * length + 1, length, dtype=np.int32), pa.array(values.ravel()))
