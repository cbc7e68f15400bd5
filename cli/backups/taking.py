"""Taking a backup of a system that runs: one snapshot of the database, then the objects that it names."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from cli.backups import folder as places
from cli.backups import tools
from cli.backups.folder import BackedObject, Manifest, ObjectsKept
from cli.embedded.locked import private_folder
from models import connecting
from models.connecting import Linked
from storage.errors import StorageError
from storage.s3 import storage

AT_ONCE = 8  # objects that are copied together
WINDOW = 64  # of the list, at a time
ROWS = 1000  # of the database, at a time
Tell = Callable[[int], None]  # so many more objects are done

# Every object that the database names and that should be there. What is being fetched or uploaded just now is in no row,
# and inputs are fetched again.
_NAMED = """
select key, media_type, size_bytes, encode(sha256, 'hex') from assets where status = 'stored'
union all
select thumbnail_key, null, thumbnail_bytes, null from assets where status = 'stored' and thumbnail_key is not null
union all
select key, media_type, size_bytes, encode(sha256, 'hex') from uploads where status = 'stored'
union all
select substring(o->>'address' from 8), o->>'media_type', null, null from attempts a, jsonb_array_elements(a.delivered->'outputs') o
 where a.ended_at is null and a.phase = 'delivered' and o->>'address' like 'staged:%'
union all
select o->'asset'->>'key', o->'asset'->>'media_type', (o->'asset'->>'size_bytes')::bigint, o->'asset'->>'sha256'
  from attempts a, jsonb_array_elements(a.delivered->'outputs') o
 where a.ended_at is null and a.phase = 'delivered' and o ? 'asset'
union all
select o->'asset'->>'thumbnail_key', null, (o->'asset'->>'thumbnail_bytes')::bigint, null
  from attempts a, jsonb_array_elements(a.delivered->'outputs') o
 where a.ended_at is null and a.phase = 'delivered' and o->'asset'->>'thumbnail_key' is not null
"""
_COUNTS = """
select (select count(*) from accounts), (select count(*) from jobs), (select count(*) from job_runs),
       (select count(*) from attempts where ended_at is null), (select count(*) from ledger_entries),
       (select count(*) from assets), (select count(*) from uploads)"""
_COUNTED = ("accounts", "jobs", "living_jobs", "living_attempts", "ledger_entries", "assets", "uploads")


class _Dumped(NamedTuple):
    revision: str
    server: str
    taken_at: datetime
    counts: dict[str, int]


def take(target: Path, kept: ObjectsKept, programs: Path | None, tell: Callable[[int], Tell]) -> Manifest:
    """Take a backup into a new folder. `tell` is told how many objects there are, and gives what is told of each that is done.

    A run that was cut off leaves TARGET.partial, and the next one copies no object again that lies there whole. Raises
    NotABackup, ToolFailed, StorageError, OSError.
    """
    if target.exists():
        raise places.NotABackup(f"{target} exists already: a backup gets a folder of its own")
    working = places.partial_of(target)
    private_folder(working)
    (working / places.MANIFEST).unlink(missing_ok=True)
    named = working / f"{places.LIST}.named"
    dumped = _dump(working, named, programs)
    total = sum(1 for _ in places.read_objects(named))
    sums = _keep_objects(working, named, kept, tell(total))
    named.unlink()
    dump = working / places.DUMP
    manifest = Manifest(
        release=version("headrace"), revision=dumped.revision, server=dumped.server, taken_at=dumped.taken_at,
        dump_bytes=dump.stat().st_size, dump_sha256=places.digest_of(dump),
        list_sha256=places.digest_of(working / places.LIST), objects_kept=kept, objects=total, object_bytes=sums[0],
        missing=sums[1], counts=dumped.counts,
    )  # fmt: skip
    places.write_manifest(working, manifest)
    working.rename(target)
    return manifest


@contextmanager
def _snapshot() -> Iterator[Linked]:
    """A connection whose one transaction sees the database as it is now, for as long as it takes. Raises ToolFailed behind a
    pooler, which gives a transaction to nobody else.
    """
    wanted = connecting.wanted(lock_timeout="60s", statement_timeout="0", plans={})
    conn = connecting.connect({**wanted, "idle_in_transaction_session_timeout": "0"})
    try:
        if conn.behind_pooler:
            raise tools.ToolFailed(
                "a pooler stands before the database: for a backup, give DATABASE_URL the server itself"
            )
        conn.execute("set transaction isolation level repeatable read, read only")
        yield conn
    finally:
        conn.close()


def _dump(working: Path, named: Path, programs: Path | None) -> _Dumped:
    """The database as of one moment: its dump, and the list of the objects that it names."""
    program = tools.find("pg_dump", programs)
    with _snapshot() as conn:
        tools.check_version(program, conn.info.server_version)
        row = conn.execute(
            "select pg_export_snapshot(), app_now(), current_setting('server_version'), (select version_num from alembic_version)"
        ).fetchone()
        assert row is not None  # noqa: S101 - always one
        snapshot, taken_at, server, revision = row
        counts = conn.execute(_COUNTS).fetchone()
        assert counts is not None  # noqa: S101 - always one
        dump = working / places.DUMP
        places.open_private(dump).close()  # pg_dump keeps the mode of a file that is there
        tools.run(
            program, ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={dump}"]
        )
        with places.open_private(named) as file, conn.cursor("named") as cursor:
            cursor.itersize = ROWS
            for each in cursor.execute(_NAMED):
                places.write_object(file, BackedObject(*each))
    return _Dumped(revision, server, taken_at, dict(zip(_COUNTED, counts, strict=True)))


def _keep_objects(working: Path, named: Path, kept: ObjectsKept, tell: Tell) -> tuple[int, int]:
    """Copy what the list names, or only list it. Returns the bytes that were kept, and how many objects were missing."""
    size = missing = 0
    with places.open_private(working / places.LIST) as file, ThreadPoolExecutor(AT_ONCE) as pool:
        for some in places.windows(places.read_objects(named), WINDOW):
            done = pool.map(lambda one: copy_one(working, one), some) if kept == "copy" else iter(some)
            for one in done:
                places.write_object(file, one)
                size += one.size or 0
                missing += one.missing
                tell(1)
        file.flush()
        os.fsync(file.fileno())
    return size, missing


def copy_one(working: Path, one: BackedObject) -> BackedObject:
    """Copy an object, unless it lies there whole. Returns it with the sum of what lies there. Raises StorageError where the
    bucket has other bytes than the database says, or does not answer.
    """
    place = places.place_of(working, one.key)
    if place.is_file() and one.size in {None, place.stat().st_size}:
        found = places.digest_of(place)
        if one.sha256 in {None, found}:
            return one._replace(size=place.stat().st_size, sha256=found)
    places.make_folders(working, place.parent)
    partial = place.with_name(f"{place.name}.partial")
    try:
        part = storage().get_range(one.key)
    except StorageError as error:
        if not error.missing:
            raise
        return one._replace(missing=True)
    digest, size = hashlib.sha256(), 0
    with part.chunks as chunks, places.open_private(partial) as file:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
    if one.size not in {None, size} or one.sha256 not in {None, digest.hexdigest()}:
        partial.unlink()
        raise StorageError(f"{one.key} has other bytes in the bucket than the database says", retryable=False)
    partial.replace(place)
    return one._replace(media_type=one.media_type or part.media_type, size=size, sha256=digest.hexdigest())
