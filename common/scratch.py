"""Temporary files, in a folder of this process that the next one finds and removes should this one be killed.

A process locks its folder (flock) for as long as it lives: the lock ends with it, however it ends, and says more than a
number that may be another process's today. So whoever gets the lock may remove the folder, and nobody removes what a
living process uses. Folders lie in `headrace-UID` under TMPDIR, or under a folder that is named.
"""

import atexit
import errno
import fcntl
import logging
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")


class _Own(NamedTuple):
    pid: int  # a forked child has a folder of its own
    path: Path
    lock: int


PROBE_BYTES = 65_536

_guard = threading.Lock()
_own: dict[Path, _Own] = {}


@contextmanager
def scratch_file(suffix: str = "") -> Iterator[IO[bytes]]:
    """A temporary file, to write, read and open again by its `name`, for the time of the block; then it is gone.

    Raises OSError where there is no room for it; so do its `write` and `flush`.
    """
    file = _within(None, lambda folder: tempfile.NamedTemporaryFile(suffix=suffix, dir=folder))  # noqa: SIM115 - the caller closes it
    try:
        yield file
    finally:
        with suppress(OSError):  # what could not be written to a full disk is not missed any more
            file.close()


@contextmanager
def scratch_folder(under: Path | None = None) -> Iterator[Path]:
    """A temporary folder for the time of the block; then it is gone, with all that is in it. Raises OSError."""
    path = _within(under, lambda folder: Path(tempfile.mkdtemp(dir=folder)))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def tidy(under: Path | None = None) -> int:
    """Remove what killed processes have left behind. Returns of how many. Raises nothing: it is called at every start."""
    try:
        base = _base(under)
        mine = {own.path for own in _own.values()}
        return sum(_removed(path) for path in base.iterdir() if path not in mine)
    except OSError as error:
        log.warning("temporary files of killed processes stay: %s", error)
        return 0


def place() -> Path:
    """The temporary folder of this machine. Not `tempfile.gettempdir`, which writes a file to find out: with a full one it
    finds none, or takes the folder that we happen to be in.
    """
    return Path(next(filter(None, (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))), "/tmp"))  # noqa: S108 - where the system itself would go


def check(least_bytes: int) -> int:
    """Write a temporary file and take it away again. Returns how many bytes are free. Raises OSError where that cannot be,
    or where fewer than `least_bytes` are.
    """
    with scratch_file() as file:
        file.write(b"x" * PROBE_BYTES)
        file.flush()
    free = shutil.disk_usage(place()).free
    if free < least_bytes:
        raise OSError(errno.ENOSPC, f"only {free} bytes are free, and one upload may have {least_bytes}")
    return free


def close() -> None:
    """Remove this process's folders (its end, or a test's)."""
    with _guard:
        for own in _own.values():
            if own.pid == os.getpid():
                shutil.rmtree(own.path, ignore_errors=True)
                os.close(own.lock)
        _own.clear()


atexit.register(close)


def _within(under: Path | None, make: Callable[[Path], T]) -> T:
    try:
        return make(_folder(under))
    except FileNotFoundError:  # somebody has cleared the temporary folder
        return make(_folder(under, new=True))


def _folder(under: Path | None, *, new: bool = False) -> Path:
    """This process's folder. `new`: make another if it is there no longer."""
    with _guard:
        base = _base(under)
        own = _own.get(base)
        if own is not None and own.pid == os.getpid() and not (new and not own.path.exists()):
            return own.path
        if own is not None:
            os.close(own.lock)  # a parent's stays locked by the parent's own
        made = _own[base] = _made(base)
    tidy(under)
    return made.path


def _base(under: Path | None) -> Path:
    """The folder of all this user's processes. Raises OSError where it is another user's, who could read and change all."""
    base = (under or place()) / f"headrace-{os.geteuid()}"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"{base} is not ours alone; remove it, or set TMPDIR to another folder")
    return base


def _made(base: Path) -> _Own:
    while True:
        path = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=base))
        with suppress(FileNotFoundError):  # another process took it for one left behind before it was locked
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return _Own(os.getpid(), path, lock)
            os.close(lock)


def _removed(path: Path) -> bool:
    """Whether a folder was one left behind, and is gone now."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # another process was faster, or it is no folder
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path)
    except BlockingIOError:
        return False  # its process lives
    except OSError as error:
        log.warning("%s, of a killed process, stays: %s", path, error)
        return False
    finally:
        os.close(lock)
    log.info("removed %s, which a killed process had left", path)
    return True
