"""As the first process of a system: what ends is collected, and signals reach who works."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support import eventually

ROOT = Path(__file__).resolve().parents[2]
FIRST = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")

# Makes a process whose parent ends, and waits until somebody has collected it.
WORK = """
import os, signal, subprocess, sys, time
from common import first
first.stand_in()
orphan = int(subprocess.run(["sh", "-c", "sleep 0.1 >&- & echo $!"], capture_output=True, text=True).stdout)
end = time.monotonic() + 10
while os.path.exists(f"/proc/{orphan}") and time.monotonic() < end:
    time.sleep(0.02)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("left a zombie" if os.path.exists(f"/proc/{orphan}") else "collected", flush=True)
time.sleep(60)
"""


def can_be_first() -> bool:
    try:
        return subprocess.run([*FIRST, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


as_the_first = pytest.mark.skipif(not can_be_first(), reason="a PID namespace needs root and unshare")


@contextmanager
def started(*command: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A command as the first process of a namespace, ended with the block."""
    launcher = subprocess.Popen(
        [*FIRST, sys.executable, *command], cwd=ROOT, env=os.environ | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield launcher
    finally:
        launcher.kill()
        launcher.communicate()


def children_of_the_first(launcher: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The first process in the namespace and its children; none before it is there and has one."""
    found = psutil.Process(launcher.pid).children(recursive=True)
    return found if len(found) > 1 else []


@as_the_first
def test_the_first_process_collects_orphans_and_hands_signals_on() -> None:
    with started("-c", WORK) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "collected\n"
        children_of_the_first(launcher)[0].send_signal(signal.SIGTERM)
        assert launcher.wait(10) == 7


@as_the_first
@pytest.mark.parametrize(("ending", "status"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", 137)])
def test_the_first_process_ends_as_its_work_does(ending: str, status: int) -> None:
    code = f"import os, signal, sys; from common import first; first.stand_in(); assert os.getpid() != 1; {ending}"
    assert subprocess.run([*FIRST, sys.executable, "-c", code], cwd=ROOT, check=False).returncode == status


@as_the_first
@pytest.mark.parametrize("command", [
    ["-m", "api"], ["-m", "workers"], ["-m", "scheduler"], ["-m", "workers.deliver"],
    ["-c", "from cli.main import main; main()", "queues", "--watch"],
])  # fmt: skip
def test_each_process_of_ours_leaves_being_the_first_to_another(command: list[str]) -> None:
    with started(*command, DATABASE_URL="postgresql://nobody@127.0.0.1:9/none") as launcher:
        eventually(lambda: bool(children_of_the_first(launcher)), what="a child of the first process")
        children_of_the_first(launcher)[0].send_signal(signal.SIGTERM)  # mostly while it still imports
        launcher.wait(40)
