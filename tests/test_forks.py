"""A forked process is what a started one is, to its starter and to itself."""

import ast
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.forks import KINDS, READ_AGAIN, READ_AT_IMPORT, ROOT
from tests.models.hands import change
from tests.support import System, eventually, one
from tests.test_repository import PACKAGES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")


def test_a_fork_is_its_starters_child_in_a_session_of_its_own_with_what_it_was_given(system: System) -> None:
    system.start("scheduler", scheduler={"TOLD": "this one"})
    pid = system.processes.pid("scheduler")
    found = psutil.Process(pid)
    assert "tests.forks" in found.cmdline(), "it was forked"
    assert (found.ppid(), os.getsid(pid), os.getpgid(pid)) == (os.getpid(), pid, pid)
    assert found.cwd() == str(ROOT)
    log = os.stat(system.processes.log("scheduler"))
    assert [os.stat(f"/proc/{pid}/fd/{number}").st_ino for number in (1, 2)] == [log.st_ino] * 2
    assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
    held = []
    for each in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # it is at work, and may have closed one since
            held.append(os.readlink(f"/proc/{pid}/fd/{each}"))
    assert sum(each.endswith("scheduler.lock") for each in held) == 1
    eventually(lambda: b"scheduler" in system.processes.log("scheduler").read_bytes(), what="its first word")


def test_signals_reach_a_fork_and_its_end_is_told_as_of_any_child(system: System) -> None:
    system.start("scheduler")
    child = system.processes._children["scheduler"]
    eventually(lambda: system.processes.log("scheduler").stat().st_size > 0, what="its first word")
    os.kill(child.pid, signal.SIGTERM)
    assert child.wait(20) == 0
    system.processes.forget("scheduler")
    system.start("scheduler")
    child = system.processes._children["scheduler"]
    system.processes.kill("scheduler")
    assert child.returncode == -signal.SIGKILL


def test_a_fork_has_the_environment_that_it_was_given_and_no_other(system: System) -> None:
    """Nor what the one before it was given."""
    child = system.processes.start_one("scheduler", {"DATABASE_URL": "mysql://here/x"})
    assert child.wait(30) == 1
    assert b"DATABASE_URL" in system.processes.log("scheduler").read_bytes()
    system.processes.forget("scheduler")
    system.start("scheduler")
    assert system.processes.alive("scheduler")


LAUNCHER = """
import sys, time
from pathlib import Path
from cli.embedded.processes import Processes
from tests.forks import Forked
print(Processes(Path(sys.argv[1]), {}, popen=Forked).start_one("scheduler").pid, flush=True)
time.sleep(60)
"""


def test_a_fork_ends_with_its_launcher(system: System, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(tmp_path / "other")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout is not None
        pid = int(launcher.stdout.readline())
        assert psutil.Process(pid).ppid() == launcher.pid
        launcher.kill()
    eventually(lambda: not psutil.pid_exists(pid), what="the end of the launcher's process")


def test_a_fork_is_killed_at_the_point_that_it_was_given_and_the_next_is_not(system: System, tmp_path: Path) -> None:
    marker = tmp_path / "killed"
    system.start("scheduler", scheduler={"HEADRACE_FAULT_POINT": "audit:begun", "HEADRACE_FAULT_MARKER": str(marker)})
    child = system.processes._children["scheduler"]
    assert "tests.forks" in psutil.Process(child.pid).cmdline()
    assert child.wait(30) == -signal.SIGKILL
    marker.unlink()  # whoever comes to that point now would be killed again
    system.processes.forget("scheduler")
    system.start("scheduler")
    change("update duties set next_at = app_now() where name = 'audit'")
    eventually(lambda: one("select next_at > app_now() from duties where name = 'audit'") == (True,), what="its turn")
    assert system.processes.alive("scheduler")


@pytest.mark.parametrize("name", ["HEADRACE_STATE", "PGTZ"])
def test_who_wants_other_values_of_what_is_read_on_import_is_started(system: System, name: str) -> None:
    system.start("scheduler")
    system.processes.start_one("scheduler", {name: "/nowhere"}, number=2)
    eventually(
        lambda: psutil.Process(system.processes.pid("scheduler.2")).cmdline()[1:] == ["-m", "scheduler"], what="a start"
    )


def test_what_is_read_on_import_is_known() -> None:
    """Of the environment, by any module of ours that a process imports: of that a fork has no other values than its kind."""
    read = {
        variable
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for variable in _read_on_import(ast.parse(path.read_text()))
    }
    assert read == {*READ_AT_IMPORT, *READ_AGAIN}
    assert set(KINDS) == {line.split()[-1] for line in (ROOT / "Procfile").read_text().splitlines()}


def _read_on_import(tree: ast.Module) -> list[str]:
    """What a module's own statements, not those of its functions, read of the environment, by name."""
    open_nodes: list[ast.AST] = [tree]
    found = []
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if (
            isinstance(node, ast.Call | ast.Subscript)
            and "environ" in ast.unparse(node).partition("(")[0].partition("[")[0]
        ):
            found.append(next((each.value for each in ast.walk(node) if isinstance(each, ast.Constant)), "all of it"))
        open_nodes += ast.iter_child_nodes(node)
    return [str(each) for each in found]
