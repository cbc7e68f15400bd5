"""Taking a backup of a system that runs: one snapshot of the database, then the objects that it names."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from cli.backups import archive, tools
from cli.backups.archive import BackedObject, Manifest, ObjectsKept
from cli.embedded.locked import private_folder
from models import connecting, snapshots
from models.connecting import Linked
from models.snapshots import Seen
from storage.errors import StorageError
from storage.s3 import storage

AT_ONCE = 8  # objects that are copied together
WINDOW = 64  # of the list, at a time
Tell = Callable[[int], None]  # so many more objects are done


def take(target: Path, kept: ObjectsKept, programs: Path | None, tell: Callable[[int], Tell]) -> Manifest:
    """Take a backup into a new folder. `tell` is told how many objects there are, and gives what is told of each that is done.

    A run that was cut off leaves TARGET.partial, and the next one copies no object again that lies there whole. Raises
    NotABackup, ToolFailed, StorageError, OSError.
    """
    if target.exists():
        raise archive.NotABackup(f"{target} exists already: a backup gets a folder of its own")
    working = archive.partial_of(target)
    private_folder(working)
    (working / archive.MANIFEST).unlink(missing_ok=True)
    named = working / f"{archive.LIST}.named"
    dumped = _dump(working, named, programs)
    total = sum(1 for _ in archive.read_objects(named))
    sums = _keep_objects(working, named, kept, tell(total))
    named.unlink()
    dump = working / archive.DUMP
    manifest = Manifest(
        release=version("headrace"), revision=dumped.revision, server=dumped.server, taken_at=dumped.taken_at,
        dump_bytes=dump.stat().st_size, dump_sha256=archive.sum_of(dump),
        list_sha256=archive.sum_of(working / archive.LIST), objects_kept=kept, objects=total, object_bytes=sums[0],
        missing=sums[1], counts=dumped.counts,
    )  # fmt: skip
    archive.write_manifest(working, manifest)
    working.rename(target)
    return manifest


@contextmanager
def _connection() -> Iterator[Linked]:
    """A connection for one transaction that may take as long as it takes. Raises ToolFailed behind a
    pooler, which gives a transaction to nobody else.
    """
    wanted = connecting.wanted(lock_timeout="60s", statement_timeout="0", plans={})
    conn = connecting.connect({**wanted, "idle_in_transaction_session_timeout": "0"})
    try:
        if conn.behind_pooler:
            raise tools.ToolFailed(
                "a pooler stands before the database: for a backup, give DATABASE_URL the server itself"
            )
        yield conn
    finally:
        conn.close()


def _dump(working: Path, named: Path, programs: Path | None) -> Seen:
    """The database as of one moment: its dump, and the list of the objects that it names."""
    program = tools.find("pg_dump", programs)
    with _connection() as conn:
        tools.check_version(program, conn.info.server_version)
        seen = snapshots.hold_moment(conn)
        dump = working / archive.DUMP
        archive.open_private(dump).close()  # pg_dump keeps the mode of a file that is there
        tools.run(
            program, ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={seen.name}", f"--file={dump}"]
        )
        with archive.open_private(named) as file:
            for each in snapshots.named_objects(conn):
                archive.write_object(file, BackedObject(*each))
    return seen


def _keep_objects(working: Path, named: Path, kept: ObjectsKept, tell: Tell) -> tuple[int, int]:
    """Copy what the list names, or only list it. Returns the bytes that were kept, and how many objects were missing."""
    size = missing = 0
    with archive.open_private(working / archive.LIST) as file, ThreadPoolExecutor(AT_ONCE) as pool:
        for some in archive.windows(archive.read_objects(named), WINDOW):
            done = pool.map(lambda one: copy_one(working, one), some) if kept == "copy" else iter(some)
            for one in done:
                archive.write_object(file, one)
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
    place = archive.place_of(working, one.key)
    if place.is_file() and one.size in {None, place.stat().st_size}:
        found = archive.sum_of(place)
        if one.sha256 in {None, found}:
            return one._replace(size=place.stat().st_size, sha256=found)
    archive.make_folders(working, place.parent)
    partial = place.with_name(f"{place.name}.partial")
    try:
        part = storage().get_range(one.key)
    except StorageError as error:
        if not error.missing:
            raise
        return one._replace(missing=True)
    summed, size = hashlib.sha256(), 0
    with part.chunks as chunks, archive.open_private(partial) as file:
        for chunk in chunks:
            summed.update(chunk)
            size += len(chunk)
            file.write(chunk)
    found = summed.hexdigest()
    if one.size not in {None, size} or one.sha256 not in {None, found}:
        partial.unlink()
        raise StorageError(f"{one.key} has other bytes in the bucket than the database says", retryable=False)
    partial.replace(place)
    return one._replace(media_type=one.media_type or part.media_type, size=size, sha256=found)
