"""Temporary files: gone after their block, and after their process's death; never while it lives; a full disk is an OSError."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from common import scratch
from common.scratch import scratch_file, scratch_folder, tidy
from tests.support import System, eventually

KEEPER = """
import sys
from common.scratch import scratch_file, scratch_folder
with scratch_file() as file, scratch_folder() as folder:
    file.write(b"x" * 100_000)
    file.flush()
    (folder / "inside").mkdir()
    (folder / "inside" / "file").write_bytes(b"y")
    print(file.name, flush=True)
    sys.stdin.read()
"""

CROWD = """
import sys
from pathlib import Path
from common.scratch import scratch_file, tidy
for _ in range(30):
    with scratch_file() as file:
        file.write(b"mine")
        file.flush()
        tidy()
        assert Path(file.name).read_bytes() == b"mine"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of the test's own, in this process and in those it starts."""
    scratch.close()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield tmp_path
    scratch.close()


@contextmanager
def keeper() -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """A process that keeps a temporary file until it is told to end, and that file."""
    child = subprocess.Popen([sys.executable, "-c", KEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        try:
            yield child, Path(child.stdout.readline().decode().strip())
        finally:
            child.kill()


def killed() -> Path:
    """A file that a killed process has left behind."""
    with keeper() as (child, path):
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert path.exists()
    return path


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_can_be_opened_by_its_name_and_is_gone_after_its_block(folder: Path) -> None:
    with scratch_file(".mp4") as file:
        file.write(b"abc")
        file.flush()
        path = Path(file.name)
        assert (path.read_bytes(), path.suffix) == (b"abc", ".mp4")
        assert path.is_relative_to(folder)
        assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(ZeroDivisionError), scratch_file() as file:
        raise ZeroDivisionError
    with scratch_folder() as made:
        (made / "a").mkdir()
    assert (left(folder), made.exists()) == ([], False)


def test_files_of_a_killed_process_go_at_the_next_start_and_those_of_a_living_one_stay() -> None:
    dead = killed()
    with keeper() as (child, living):  # its start has tidied
        assert not dead.parent.exists()
        assert tidy() == 0
        assert living.read_bytes() == b"x" * 100_000
        child.communicate()
    assert not living.exists()
    assert not living.parent.exists(), "a process that ends by itself leaves nothing"


def test_a_pid_that_is_another_process_today_does_not_save_a_folder() -> None:
    dead = killed()
    alias = dead.parent.with_name(f"{os.getpid()}-abc")
    dead.parent.rename(alias)
    assert tidy() == 1
    assert not alias.exists()


def test_a_crowd_that_starts_and_tidies_at_once_takes_nothing_from_each_other() -> None:
    with scratch_file() as mine:
        children = [subprocess.Popen([sys.executable, "-c", CROWD], stderr=subprocess.PIPE) for _ in range(6)]
        for child in children:
            _, error = child.communicate()
            assert child.returncode == 0, error.decode()
        assert Path(mine.name).exists()
    assert [path for path in Path(mine.name).parent.parent.iterdir() if path != Path(mine.name).parent] == []


def test_threads_of_one_process_share_its_folder() -> None:
    gate = threading.Barrier(8)

    def use(_number: int) -> Path:
        gate.wait()
        with scratch_file() as file:
            return Path(file.name).parent

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(use, range(8)))) == 1


def test_a_forked_child_has_a_folder_of_its_own_and_does_not_take_its_parents() -> None:
    with scratch_file() as file:
        pid = os.fork()
        if pid == 0:
            with scratch_file() as other:
                apart = Path(other.name).parent != Path(file.name).parent
            os._exit(0 if apart and Path(file.name).exists() else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert Path(file.name).exists()


def test_a_temporary_folder_that_somebody_cleared_is_made_again(folder: Path) -> None:
    with scratch_file():
        pass
    for path in folder.iterdir():
        shutil.rmtree(path)
    with scratch_file() as file, scratch_folder() as made:
        assert Path(file.name).exists()
        assert made.is_dir()


def test_a_folder_that_others_can_write_to_is_not_used(folder: Path) -> None:
    base = folder / f"headrace-{os.geteuid()}"
    base.mkdir()
    base.chmod(0o777)
    with pytest.raises(OSError, match="not ours alone"), scratch_file():
        pass
    base.rmdir()
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    base.symlink_to(elsewhere)
    with pytest.raises(OSError, match="not ours alone"), scratch_file():
        pass
    assert tidy() == 0


FULL = """
import errno, os, sys
from pathlib import Path
from common import scratch
from common.scratch import scratch_file
folder = Path(os.environ["TMPDIR"])
found = []
try:
    with scratch_file() as file:
        for _ in range(100):
            file.write(b"x" * 65_536)
        file.flush()
except OSError as error:
    found.append(error.errno)
with scratch_file() as file:  # fits into the buffer, not onto the disk
    (folder / "rest").write_bytes(b"")
    with (folder / "rest").open("wb", buffering=0) as rest:
        try:
            while rest.write(b"x" * 4096):
                pass
        except OSError:
            pass
    file.write(b"x" * 2000)
    try:
        file.flush()
    except OSError as error:
        found.append(error.errno)
(folder / "rest").unlink()
assert found == [errno.ENOSPC] * 2, found
left = [path for path in folder.rglob("*") if path.is_file()]
assert not left, left
"""


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.skipif(not _can_mount(), reason="no small disk can be mounted here")
def test_a_full_disk_is_an_os_error_and_leaves_nothing_behind(folder: Path) -> None:
    command = f'mount -t tmpfs -o size=1m tmpfs "{folder}" && exec "{sys.executable}" -c "$FULL"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], env={**os.environ, "FULL": FULL}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("name", ["api", "worker", "scheduler", "deliver"])
def test_every_process_removes_at_its_start_what_a_killed_one_left(system: System, folder: Path, name: str) -> None:
    dead = killed()
    system.start(name, **{name: {"TMPDIR": str(folder)}})
    eventually(lambda: not dead.parent.exists(), what="tidying")
