"""Restoring a backup: checked first, into an empty database, and made safe before anybody may run on it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from cli.backups import archive, tools
from cli.backups.archive import BackedObject, Manifest, NotABackup
from cli.backups.taking import AT_ONCE, WINDOW, Tell
from models import db, restoring, snapshots
from models.access.audit_log import By
from models.restoring import Restored
from models.schema import migrations, prepare
from storage.errors import StorageError
from storage.s3 import storage

OCTETS = "application/octet-stream"
# Its row comes with the transaction that makes the rest safe: a restore that was cut off leaves a database of no release.
_HELD_BACK = "TABLE DATA public alembic_version"


class Returned(NamedTuple):
    """What a restore has done. `lost`: objects that the database names and that are nowhere."""

    manifest: Manifest
    safe: Restored
    put: int
    there: int
    lost: int


def restore(source: Path, by: By, programs: Path | None, tell: Callable[[int], Tell], *, went_on: bool) -> Returned:
    """Restore a backup. Raises NotABackup, ToolFailed, StorageError, OSError."""
    manifest = archive.read_manifest(source)
    program = tools.find("pg_restore", programs)
    _check_place(manifest, program)
    archive.check_files(source, manifest)
    _fill(source, program)
    with db.transaction() as conn:
        safe = restoring.make_safe(conn, by, manifest.revision, manifest.taken_at, went_on=went_on)
    prepare.prepare()
    put, there, lost = bring_objects(source, tell(manifest.objects))
    return Returned(manifest, safe, put, there, lost)


def _check_place(manifest: Manifest, program: Path) -> None:
    """Whether this release and this database can take it: an empty one, that nobody is at."""
    with db.apart() as conn:  # the pool has more than one connection of ours, and is not open yet
        newest = migrations.newest()
        if manifest.revision != newest:
            raise NotABackup(
                f"the backup is at migration {manifest.revision} and this release at {newest}: restore it with release "
                f"{manifest.release}, then migrate"
            )
        tools.check_version(program, conn.info.server_version)
        if found := snapshots.some_tables(conn):
            raise NotABackup(
                f"the database is not empty: it has {', '.join(found)} and perhaps more; a restore needs an empty one"
            )
        others = snapshots.count_others(conn)
    if others:
        raise NotABackup(f"{others} connections of running processes are open to this database: stop them first")


def _fill(source: Path, program: Path) -> None:
    """The database as it was, in one transaction, but for the one row."""
    dump = source / archive.DUMP
    contents = tools.run(program, ["--list", dump], connects=False)
    kept = [line for line in contents.splitlines() if _HELD_BACK not in line]
    if len(kept) == len(contents.splitlines()):
        raise NotABackup(f"{dump} holds no database of ours: it has no alembic_version")
    with tools.scratch("\n".join(kept)) as chosen:
        tools.run(
            program, ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", f"--use-list={chosen}", dump]
        )  # fmt: skip


def bring_objects(source: Path, tell: Tell) -> tuple[int, int, int]:
    """Put the objects that the bucket lacks. Returns how many were put, were there, and are nowhere."""
    counts = {"put": 0, "there": 0, "lost": 0}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for some in archive.windows(archive.read_objects(source / archive.LIST), WINDOW):
            for became in pool.map(lambda one: _bring(source, one), some):
                counts[became] += 1
                tell(1)
    return counts["put"], counts["there"], counts["lost"]


def _bring(source: Path, one: BackedObject) -> str:
    try:
        if storage().head(one.key).size == one.size or one.size is None:
            return "there"
    except StorageError as error:
        if not error.missing:
            raise
    place = archive.place_of(source, one.key)
    if not place.is_file():
        return "lost"
    if one.sha256 is not None and archive.sum_of(place) != one.sha256:
        raise NotABackup(f"{place} has other bytes than were backed up")
    storage().put_file(one.key, place, one.media_type or OCTETS)
    return "put"
