"""The duty that writes what is dropped to the bucket, as Parquet: rows of forgotten jobs, and months.

In this order, whatever fails or dies in between: write, put, read back, note, drop. Until the note the same rows are put under the same key
again, by whoever comes next or is at it at the same time; after it they are in the bucket.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from common import scratch
from common.errors import Busy
from common.faultpoints import reached
from models.db import patience, transaction
from models.fleet import processes
from models.operations import archive_months, archived
from models.operations.archive_months import MonthIsGone, WaitingMonth
from models.operations.archive_shapes import SHAPES
from models.operations.archived import WaitingFile
from scheduler.turns import Did
from storage import parquet
from storage.s3 import storage

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
ROWS = 5_000  # read at once of what was set aside

Rows = list[tuple[Any, ...]]


class _OtherRowsError(RuntimeError):
    """A file has not the rows that it should have."""


class _Put(NamedTuple):
    rows: int
    size_bytes: int


def archive(_batch: int) -> Did:
    """Put the next file or month into the bucket, and let go of what is in it."""
    with transaction() as conn:
        archived.close_files(conn)
        files = archived.waiting_files(conn, 1)
        months = archive_months.waiting_months(conn, 1)
    if files:
        _archive_file(files[0])
    elif months:
        return _archive_month(months[0])
    return Did(len(files), more=bool(files))


def _archive_file(file: WaitingFile) -> None:
    try:
        put = _put(file.key, SHAPES[file.kind].columns, _set_aside(file), rows=file.rows)
    except _OtherRowsError:
        with transaction() as conn:
            if file in archived.waiting_files(conn, archived.MAX_WAITING):
                raise
        log.info("another scheduler has archived %s, and let its rows go", file.key)
        return
    with transaction() as conn:
        archived.finish_file(conn, file.id, put.size_bytes)


def _archive_month(month: WaitingMonth) -> Did:
    key = month.key
    try:
        put = _put(key, SHAPES[month.kind].columns, _pages(month))
        with transaction() as conn:
            archive_months.note_month(conn, month, key, put.rows, put.size_bytes)
        reached("archive:noted")
        if month.goes:
            with patience(300), transaction() as conn:
                archive_months.drop_month(conn, month)
    except MonthIsGone:
        log.info("another scheduler has archived %s, and dropped it", month.table)
    except Busy:
        log.info("somebody reads %s; it is dropped at another turn", month.table)
        return Did(0)
    return Did(1, more=True)


def _put(key: str, columns: Mapping[str, str], pages: Iterable[Rows], *, rows: int | None = None) -> _Put:
    """Write a file here, put it, and look at what is there. `rows`: how many there must be, so that what another scheduler is deleting
    meanwhile is never put over the whole. Raises _OtherRowsError, and StorageError.
    """
    with scratch.scratch_folder() as folder:
        path = Path(folder) / "file.parquet"
        with parquet.ParquetFile(path, columns) as file:
            for page in pages:
                file.write(page)
        if rows not in (None, file.rows):
            raise _OtherRowsError(f"{key} was to have {rows} rows, and {file.rows} were found")
        reached("archive:written")
        storage().put_file(key, path, parquet.MEDIA_TYPE)
        reached("archive:put")
        there = parquet.stored_rows(storage(), key, columns)
        if there != file.rows:
            raise _OtherRowsError(f"{key} has {there} rows in the bucket, and {file.rows} were put")
        return _Put(file.rows, path.stat().st_size)


def _set_aside(file: WaitingFile) -> Iterator[Rows]:
    after = 0
    while True:
        with transaction() as conn:
            rows, after = archived.read_set_aside(conn, file, after, ROWS)
            processes.lengthen_turn(conn, "archive", EVERY_SECONDS)
        if not rows:
            return
        yield rows


def _pages(month: WaitingMonth) -> Iterator[Rows]:
    with transaction() as conn:
        pages = archive_months.count_pages(conn, month)
    for first in range(0, pages, archive_months.PAGES):
        with transaction() as conn:
            rows = archive_months.read_pages(conn, month, first)
            processes.lengthen_turn(conn, "archive", EVERY_SECONDS)
        yield rows
