"""Where planted bugs run: copies of the tree, each with servers of its own that stay up from run to run."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from cli.embedded.servers import Addresses, servers
from tests.conftest import FAST, STACK, environment
from tests.mutants.record import FILE
from tests.mutants.table import ROOT, Mutant

RUN_SECONDS = 240.0  # for one mutant; each test has its own limit below that
BASELINE_SECONDS = 900.0  # for many tests in one run, without a bug
TEST_SECONDS = 60
PLUGINS_LEFT_OUT = (
    "schemathesis",
    "xdist",
    "cacheprovider",
)  # each run starts a new Python: this saves two seconds of it


class Report(NamedTuple):
    """What became of one phase of one test."""

    test: str
    when: str  # setup, call or teardown
    outcome: str  # passed, failed or skipped


class Lane:
    """One copy and its servers. One run at a time."""

    def __init__(self, folder: Path, addresses: Addresses) -> None:
        self._folder = folder
        self._tree = folder / "tree"
        self._addresses = addresses
        self._writes = 0
        copy_tree(self._tree)

    def run(
        self, tests: Sequence[str], mutant: Mutant | None = None, *, seconds: float = RUN_SECONDS
    ) -> tuple[list[Report], str]:
        """Run these tests, with a bug or without. Returns what became of them, and what pytest said. Raises Stale."""
        record = self._folder / "record"
        record.unlink(missing_ok=True)
        if mutant is None:
            return self._pytest(tests, record, seconds)
        path = self._tree / mutant.file
        before = path.read_text()
        self._write(path, mutant.planted(before))
        try:
            return self._pytest(tests, record, seconds)
        finally:
            self._write(path, before)

    def _write(self, path: Path, text: str) -> None:
        """With a time of its own: Python takes a file of the same second and size for the one that it has compiled."""
        path.write_text(text)
        self._writes += 1
        moment = 1_000_000_000 + self._writes
        os.utime(path, (moment, moment))

    def _pytest(self, tests: Sequence[str], record: Path, seconds: float) -> tuple[list[Report], str]:
        left_out = [part for name in PLUGINS_LEFT_OUT for part in ("-p", f"no:{name}")]
        command = [
            sys.executable, "-m", "pytest", "-q", "-p", "tests.mutants.record", *left_out, f"--timeout={TEST_SECONDS}",
            f"--basetemp={self._folder / 'tmp'}", *tests,
        ]  # fmt: skip
        variables = {
            **os.environ, STACK: json.dumps(asdict(self._addresses)), FILE: str(record), "PYTHONPATH": str(self._tree),
        }  # fmt: skip
        # Our packages are those of the copy: its folder comes before the installed ones.
        child = subprocess.Popen(
            command, cwd=self._tree, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            said = child.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            said = f"pytest did not end within {seconds:.0f} s"
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
        lines = record.read_text().splitlines() if record.exists() else []
        return [Report(*json.loads(line)) for line in lines], said


def copy_tree(to: Path) -> None:
    """What git has or would take, as it lies here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = ROOT / name, to / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


@contextmanager
def lanes(folder: Path, count: int) -> Iterator[list[Lane]]:
    """So many lanes for the time of a block. From the main thread: it is what the servers hang on."""
    with environment({}), ExitStack() as stack:
        for name in ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL", STACK):
            os.environ.pop(name, None)  # tests flush and drop: never somebody's real servers
        made = []
        for number in range(count):
            at = folder / f"lane{number}"
            at.mkdir()
            addresses = stack.enter_context(servers(at / "servers", postgres_settings=FAST))
            made.append(Lane(at, addresses))
        yield made
