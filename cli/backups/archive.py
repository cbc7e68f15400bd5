"""A backup's folder: what lies in it, and the manifest that says so.

    manifest.json   what this is; written last, so that a folder without one is no backup
    database.dump   pg_dump's custom format
    objects.jsonl   a line for each object that the database of that moment names
    objects/        the objects, by their keys, where they were copied

While it is made it is called FOLDER.partial; the last step gives it its name.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, NamedTuple

import orjson

FORMAT = 1
MANIFEST, DUMP, LIST, OBJECTS = "manifest.json", "database.dump", "objects.jsonl", "objects"
READ_BYTES = 1024 * 1024
MAX_MANIFEST_BYTES = 1024 * 1024
ObjectsKept = Literal["copy", "list"]


class NotABackup(ValueError):
    """A folder is no whole backup, or was changed. The message says what is wrong."""


class BackedObject(NamedTuple):
    """An object that the database names. `sha256`: of its content, where the database knows it, or it was copied."""

    key: str
    media_type: str | None
    size: int | None
    sha256: str | None
    missing: bool = False  # the bucket had none: it was deleted between the snapshot and the copy


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is. `taken_at` is the database's time of its snapshot."""

    release: str
    revision: str
    server: str
    taken_at: datetime
    dump_bytes: int
    dump_sha256: str
    list_sha256: str
    objects_kept: ObjectsKept
    objects: int
    object_bytes: int
    missing: int
    counts: Mapping[str, int]


def partial_of(folder: Path) -> Path:
    """Where a backup lies while it is made."""
    return folder.with_name(f"{folder.name}.partial")


def open_private(path: Path) -> IO[bytes]:
    """A new file that only its owner can read."""
    return open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb")


def sum_of(path: Path) -> str:
    """The SHA-256 of a file, read in pieces."""
    summed = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            summed.update(chunk)
    return summed.hexdigest()


def place_of(folder: Path, key: str) -> Path:
    """Where the copy of an object lies. Raises NotABackup for a key that would lead out of the folder."""
    parts = PurePosixPath(key).parts
    if not parts or key.startswith("/") or ".." in parts or "\0" in key or "/".join(parts) != key:
        raise NotABackup(f"not a key that a backup can hold: {key[:100]!r}")
    return folder / OBJECTS / Path(*parts)


def make_folders(folder: Path, wanted: Path) -> None:
    """A folder within a backup, and those it lies in, each open to its owner alone (`parents=True` leaves those to the umask)."""
    for each in reversed([wanted, *wanted.parents]):
        if each.is_relative_to(folder):
            each.mkdir(mode=0o700, exist_ok=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The last file of a backup, on the disk before the folder gets its name."""
    with open_private(folder / MANIFEST) as file:
        file.write(orjson.dumps({"format": FORMAT, **shown(manifest)}, option=orjson.OPT_INDENT_2))
        file.flush()
        os.fsync(file.fileno())


def shown(manifest: Manifest) -> dict[str, Any]:
    """A manifest as JSON has it."""
    return {name: getattr(manifest, name) for name in Manifest.__dataclass_fields__}


def read_manifest(folder: Path) -> Manifest:
    """What a backup says of itself. Raises NotABackup."""
    path = folder / MANIFEST
    if folder.name.endswith(".partial"):
        raise NotABackup(f"{folder} was not finished: `headrace backup {folder.with_suffix('')}` goes on with it")
    if not path.is_file():
        raise NotABackup(f"{folder} is no backup: it has no {MANIFEST}")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise NotABackup(f"{path} is no manifest: it has {path.stat().st_size} bytes")
    try:
        given = orjson.loads(path.read_bytes())
        wanted = given.pop("format") == FORMAT
        found = Manifest(**{**given, "taken_at": datetime.fromisoformat(given["taken_at"])}) if wanted else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotABackup(f"{path} cannot be read: {type(error).__name__}") from error
    if found is None:
        raise NotABackup(f"{path} is of another format than {FORMAT}: restore it with the release that made it")
    return found


def check_files(folder: Path, manifest: Manifest) -> None:
    """Whether dump and list are those of the manifest. Raises NotABackup."""
    for name, wanted in ((DUMP, manifest.dump_sha256), (LIST, manifest.list_sha256)):
        path = folder / name
        if not path.is_file():
            raise NotABackup(f"{path} is missing")
        if sum_of(path) != wanted:
            raise NotABackup(f"{path} is not the file that the manifest names: its SHA-256 is another")


def read_objects(path: Path) -> Iterator[BackedObject]:
    """The objects of a list, one line at a time."""
    with path.open("rb") as file:
        for line in file:
            yield BackedObject(**orjson.loads(line))


def write_object(file: IO[bytes], one: BackedObject) -> None:
    file.write(orjson.dumps(one._asdict(), option=orjson.OPT_APPEND_NEWLINE))


def windows(objects: Iterable[BackedObject], size: int) -> Iterator[list[BackedObject]]:
    """Some at a time, so that a long list is never in memory."""
    rest = iter(objects)
    while some := list(islice(rest, size)):
        yield some
