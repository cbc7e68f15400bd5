"""Parquet files, written in bounded memory, and what the foot of one in the bucket says. pyarrow is imported where it is used: it is
an extra, and only who archives needs it.
"""

import io
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from storage.errors import StorageError
from storage.s3 import Storage

GROUP_ROWS = 50_000  # of a row group: what is in memory while it is written
MEDIA_TYPE = "application/vnd.apache.parquet"


class ParquetFile:
    """A file that rows are written to. `columns`: name → `uuid`, `text`, `bigint`, `boolean` or `timestamptz`."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self._arrow = import_module("pyarrow")
        self._schema = _schema(self._arrow, columns)
        self._writer = import_module("pyarrow.parquet").ParquetWriter(path, self._schema, compression="zstd")
        self._batches: list[Any] = []
        self._held = 0
        self.rows = 0

    def write(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows, with their values in the order of the columns. Raises OSError where there is no room."""
        if not rows:
            return
        values = zip(*rows, strict=True)
        columns = [self._arrow.array(each, type=field.type) for each, field in zip(values, self._schema, strict=True)]
        self._batches.append(self._arrow.RecordBatch.from_arrays(columns, schema=self._schema))
        self.rows += len(rows)
        self._held += len(rows)
        if self._held >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        table = self._arrow.Table.from_batches(self._batches, schema=self._schema)
        self._writer.write_table(table, row_group_size=GROUP_ROWS)
        self._batches, self._held = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self._batches:
            self._flush()
        self._writer.close()


def stored_rows(store: Storage, key: str, columns: Mapping[str, str]) -> int:
    """How many rows the foot of a file in the bucket says that it has. Raises StorageError, also where it is no Parquet file, or one with other
    columns.
    """
    arrow = import_module("pyarrow")
    try:
        found = import_module("pyarrow.parquet").ParquetFile(arrow.PythonFile(_Remote(store, key), mode="r"))
    except (arrow.ArrowInvalid, OSError) as error:
        raise StorageError(f"reading {key}: it is no whole Parquet file", retryable=True) from error
    if not found.schema_arrow.equals(_schema(arrow, columns)):
        raise StorageError(f"reading {key}: its columns are not those that were written", retryable=True)
    return int(found.metadata.num_rows)


def _schema(arrow: Any, columns: Mapping[str, str]) -> Any:
    types = {
        "uuid": arrow.uuid(), "text": arrow.string(), "bigint": arrow.int64(), "boolean": arrow.bool_(),
        "timestamptz": arrow.timestamp("us", "UTC"),
    }  # fmt: skip
    return arrow.schema([(name, types[kind]) for name, kind in columns.items()])


class _Remote(io.RawIOBase):
    """An object as a file to read: each read is a request, and a foot takes two or three."""

    def __init__(self, store: Storage, key: str) -> None:
        self._store, self._key, self._at = store, key, 0
        self._size = store.head(key).size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._size, self._at + size)
        if end <= self._at:
            return b""
        with self._store.get_range(self._key, self._at, end - 1).chunks as chunks:
            found = b"".join(chunks)
        self._at += len(found)
        return found
