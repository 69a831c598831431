"""Results as tables of other libraries: named columns become a pandas DataFrame, a pyarrow Table or HTML."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from resprobe._results import html
from resprobe.errors import MissingPackage

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Column: TypeAlias = "Sequence[Any] | npt.NDArray[Any]"


class Tabular(ABC):
    """Base of results that can be read as a table.

    A class that derives from it defines `_columns`, and gets `to_pandas`, `to_arrow` and the table that notebooks show.
    """

    @abstractmethod
    def _columns(self) -> Mapping[str, Column]:
        """Returns columns by name, all of one length: one-dimensional arrays or sequences."""

    def to_pandas(self) -> "pd.DataFrame":
        """Returns the table as a pandas DataFrame.

        Raises:
            MissingPackage: pandas is not installed.
        """
        pandas = _package("pandas", "pandas")
        frame: pd.DataFrame = pandas.DataFrame({name: _one_axis(name, one) for name, one in self._columns().items()})
        return frame

    def to_arrow(self) -> "pa.Table":
        """Returns the table as a pyarrow Table.

        Raises:
            MissingPackage: pyarrow is not installed.
        """
        pyarrow = _package("pyarrow", "resprobe[report]")
        arrays = {name: pyarrow.array(_one_axis(name, one)) for name, one in self._columns().items()}
        table: pa.Table = pyarrow.table(arrays)
        return table

    def _repr_html_(self) -> str:
        """Returns what notebooks show: the first rows of the table, below what `repr` says."""
        return html.table(self._columns(), repr(self))


def _one_axis(name: str, column: Column) -> Column:
    if isinstance(column, np.ndarray) and column.ndim != 1:
        raise ValueError(f"column {name!r} has shape {list(column.shape)}; expected one axis")
    return column


def _package(name: str, requirement: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingPackage(f"{name} is not installed: pip install '{requirement}'") from error
