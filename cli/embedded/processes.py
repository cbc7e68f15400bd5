"""The Procfile's processes: started together, each with its log, found and ended after a kill.

Honcho parses the Procfile. Its manager is not used: it closes all descriptors in its children, so that no lock could
tell of them after a kill -9; it puts a process of its own between launcher and child, which outlives the launcher and
so hides its end from the child; and it stops everything when one process ends. `locked` starts and stops instead.
"""

import math
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from honcho.environ import parse_procfile
from rich.console import Console
from rich.text import Text

from cli.embedded.locked import hold, read_private, signal_group, spawn, stop, tail
from common.settings import settings

ROOT = Path(__file__).resolve().parents[2]
COLOURS = ("cyan", "yellow", "green", "magenta", "blue")
RESTARTS = 5  # in a row; a process that stays up for a while has them all again
FIRST_PAUSE = 1.0
STAYED_UP_SECONDS = 60.0
WORKER_EXTRA_SECONDS = 10.0  # more than a worker itself waits


class Processes:
    """What a Procfile starts. Use from the main thread."""

    def __init__(
        self,
        state: Path,
        environment: Mapping[str, str],
        *,
        console: Console | None = None,
        procfile: Path = ROOT / "Procfile",
        popen: "type[subprocess.Popen[bytes]]" = subprocess.Popen,
    ) -> None:
        self.logs = state / "processes"
        self._commands: dict[str, str] = dict(parse_procfile(procfile.read_text()).processes)
        self._environment = {"HEADRACE_FOLDER": str(Path.cwd()), **environment}
        self._console = console
        self._popen = popen
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._launcher: IO[str] | None = None

    def start(self) -> None:
        """Start all of the Procfile."""
        for name in self._commands:
            self.start_one(name)

    def start_one(
        self, name: str, extra: Mapping[str, str] | None = None, *, number: int = 1, arguments: str = ""
    ) -> "subprocess.Popen[bytes]":
        """Start one more process of a kind; `number` tells several of the same kind apart."""
        if self._launcher is None:
            self._launcher = hold(self.logs)
        label = name if number == 1 else f"{name}.{number}"
        if self.alive(label):
            raise ValueError(f"{label} runs already; give the other one a number")
        command = shlex.split(self._commands[name] + " " + arguments)
        if command[0] == "python":
            command[0] = sys.executable  # this environment's
        child = spawn(
            self.logs, label, command, environment={**self._environment, "PYTHONUNBUFFERED": "1", **(extra or {})},
            output=subprocess.PIPE if self._console else None, popen=self._popen, cwd=ROOT,
        )  # fmt: skip
        self._children[label] = child
        if self._console:
            threading.Thread(target=self._show, args=(label, child), daemon=True).start()
        return child

    def pid(self, label: str) -> int:
        """The process of this label."""
        return self._children[label].pid

    def alive(self, label: str) -> bool:
        """Whether it runs."""
        return label in self._children and self._children[label].poll() is None

    def kill(self, label: str) -> None:
        """kill -9, as a crash would."""
        child = self._children.pop(label)
        signal_group(child.pid, signal.SIGKILL)
        child.wait()

    def forget(self, label: str) -> None:
        """Let go of a process that has ended by itself."""
        self._children.pop(label).wait()

    def log(self, label: str) -> Path:
        """Where a process's output is kept."""
        return self.logs / f"{label}.log"

    def dead(self) -> list[tuple[str, int]]:
        """Processes that have ended by themselves, with their exit codes."""
        return [(label, child.returncode) for label, child in self._children.items() if child.poll() is not None]

    def stop(self, label: str | None = None) -> None:
        """Stop one, or all, and wait."""
        chosen = {each: self._children.pop(each) for each in ([label] if label else list(self._children))}
        # A worker waits for answers that nobody could ask for again; who kills it meanwhile throws them away.
        patience = {child.pid: self._worker_seconds() for each, child in chosen.items() if each.startswith("worker")}
        stop([(child, signal.SIGTERM) for child in chosen.values()], patience)
        if label is None and self._launcher:
            self._launcher.close()
            self._launcher = None

    def _worker_seconds(self) -> float:
        given = self._environment.get("WORKER_STOP_SECONDS")
        return (float(given) if given else settings().worker_stop_seconds) + WORKER_EXTRA_SECONDS

    def _show(self, label: str, child: "subprocess.Popen[bytes]") -> None:
        assert child.stdout is not None  # noqa: S101 - started with a pipe
        assert self._console is not None  # noqa: S101 - only with a console
        prefix = Text(f"{label:<10}| ", style=COLOURS[sum(map(ord, label)) % len(COLOURS)])
        watched = True
        with self.log(label).open("ab") as log, child.stdout:
            for line in child.stdout:
                log.write(line)
                log.flush()
                if not watched:
                    continue
                try:  # one print per line: several threads share the console
                    self._console.print(prefix + Text(line.decode(errors="replace").rstrip()), soft_wrap=True)
                except OSError:
                    watched = False  # nobody reads the console any more; the log goes on


def supervise(processes: Processes, console: Console, stopping: threading.Event) -> int:
    """Keep the processes running until `stopping` is set. One that ends by itself is started again, with growing
    pauses; after too many times in a row it gives up. Returns the exit status. Stopping them is left to the caller.
    """
    restarts: dict[str, int] = {}
    started: dict[str, float] = {}
    while not stopping.wait(0.5):
        for label, code in processes.dead():
            if time.monotonic() - started.get(label, -math.inf) > STAYED_UP_SECONDS:
                restarts[label] = 0
            restarts[label] += 1
            console.print(f"[red]{label} ended by itself with {code}[/]; the end of {processes.log(label)}:")
            console.print(tail(processes.log(label)), markup=False)
            if restarts[label] > RESTARTS:
                console.print(f"[red]{label} does not stay up; stopping everything[/]")
                return 1
            if stopping.wait(min(10.0, FIRST_PAUSE * 2 ** (restarts[label] - 1))):
                return 0
            name, _, number = label.partition(".")
            processes.start_one(name, number=int(number or 1))
            started[label] = time.monotonic()
    return 0


def fresh_environment(state: Path) -> dict[str, str]:
    """Settings of a local system that are not addresses."""
    return {
        "SKETCH_BOOK": str(state.resolve() / "sketch.db"),  # the processes run in another folder
        "SECRET_KEY": read_private(state / "secret-key", lambda: secrets.token_hex(32)),
    }
