"""What is frozen stands still from the first line of the block on."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.frozen import frozen

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
# Forty threads that each count, as fast as they may.
COUNTING = """
import sys, threading, time
counts = [0] * 40
def count(n):
    while True:
        counts[n] += 1
        time.sleep(0)
for n in range(40):
    threading.Thread(target=count, args=(n,), daemon=True).start()
print("ready", flush=True)
time.sleep(60)
"""


def test_no_thread_runs_while_its_process_is_frozen() -> None:
    with subprocess.Popen([sys.executable, "-c", COUNTING], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            for _ in range(20):
                with frozen(child.pid):
                    before = _ran(child.pid)
                    time.sleep(0.02)
                    assert _ran(child.pid) == before
            before = _ran(child.pid)
            end = time.monotonic() + 10
            while _ran(child.pid) == before:
                assert time.monotonic() < end, "it does not go on"
                time.sleep(0.01)
        finally:
            child.kill()


def _ran(pid: int) -> list[int]:
    """Switches of each thread, by its own will and against it: one that runs has more."""
    lines = (
        line for path in sorted(Path(f"/proc/{pid}/task").glob("*/status")) for line in path.read_text().splitlines()
    )
    return [int(line.split()[1]) for line in lines if "ctxt_switches" in line]
