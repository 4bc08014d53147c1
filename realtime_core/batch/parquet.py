"""The rows as a Parquet file, for whoever asks questions of many of them."""

from __future__ import annotations

import itertools
import types
import typing
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from realtime_core.batch.results import ResultRow
from realtime_core.errors import UserError

__all__ = ["require_pyarrow", "write_parquet"]

ROWS_AT_A_TIME = 1000


def require_pyarrow() -> None:
    """See to it that Parquet can be written, before anything runs.

    Raises:
        UserError: The package is missing.
    """
    try:
        import pyarrow as pa  # noqa: F401 - only whether it is there
    except ImportError as exc:
        raise UserError(
            "Parquet needs a package that is not installed: "
            'pip install "realtime-transports[parquet]"'
        ) from exc


def write_parquet(rows: Iterable[ResultRow], path: Path) -> None:
    """Write rows under the same names and with the same parts as in the results.

    Args:
        rows: They are read as they are written.
        path: The file.

    Raises:
        UserError: pyarrow is missing.
    """
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(_struct(ResultRow, pa))
    remaining = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while some := list(itertools.islice(remaining, ROWS_AT_A_TIME)):
            content = [_plain(row.model_dump()) for row in some]
            writer.write_table(pa.Table.from_pylist(content, schema=schema))


def _struct(model: type[BaseModel], pa: Any) -> Any:
    hints = typing.get_type_hints(model)
    return pa.struct([(name, _kind(hints[name], pa)) for name in model.model_fields])


def _kind(annotation: Any, pa: Any) -> Any:
    """The Arrow type of a field."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (each for each in parts if each is not type(None))
        return _kind(inner, pa)
    if origin is typing.Literal:
        return pa.int32() if isinstance(parts[0], int) else pa.string()
    if origin is tuple:
        return pa.list_(_kind(parts[0], pa))
    if origin is dict:
        return pa.map_(pa.string(), _kind(parts[1], pa))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _struct(annotation, pa)
    simple = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
    return pa.timestamp("us", tz="UTC") if annotation is datetime else simple[annotation]


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """With pairs for mappings, as Arrow wants them; the only one is this."""
    return {**content, "connect_ms": list(content["connect_ms"].items())}
