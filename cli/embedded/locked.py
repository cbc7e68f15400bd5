"""Child processes that can always be found again.

Each child inherits a locked file descriptor: the lock lives exactly as long as the child, or any child of its own. So
"the lock is taken" means that a process of an earlier run is alive, and only then is its PID file believed.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

STOP_SECONDS = 8.0


class AlreadyRunning(RuntimeError):
    """Another launcher is alive in this folder."""


def hold(folder: Path) -> IO[str]:
    """Be the one launcher of a folder, until the returned file is closed or this process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "launcher.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        pid = file.read().strip() or "?"
        file.close()
        raise AlreadyRunning(
            f"already running in {folder} (process {pid}); stop it first, or use another folder"
        ) from None
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
    return file


def spawn(
    folder: Path,
    name: str,
    command: Sequence[str | Path],
    *,
    stop_signal: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
    standard_input: str | None = None,
    output: int | IO[Any] | None = None,
    on_free: Callable[[], None] | None = None,
    **options: Any,
) -> "subprocess.Popen[bytes]":
    """Start a child in a session of its own, after ending what an earlier run has left under the same name.

    `on_free` is called once no old process can be alive, before the new one starts. Call from the main thread: on
    Linux the child gets `stop_signal` when the thread that made it ends, so that a killed launcher leaves nothing.
    """
    lock = os.open(folder / f"{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    pid_file = folder / f"{name}.pid"
    try:
        _end_left_over(lock, pid_file, name, stop_signal)
        if on_free:
            on_free()
        with (folder / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE if standard_input is not None else subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log if output is None else subprocess.STDOUT,
                pass_fds=[lock],
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent(stop_signal),  # noqa: PLW1509 - one prctl call, loaded before the fork
                **options,
            )
    finally:
        os.close(lock)
    pid_file.write_text(str(child.pid))
    if standard_input is not None and child.stdin is not None:
        child.stdin.write(standard_input.encode())
        child.stdin.close()
    return child


def stop(children: Sequence[tuple["subprocess.Popen[bytes]", signal.Signals]]) -> None:
    """Ask all to stop, then make sure: the whole group of each."""
    for child, stop_signal in children:
        if child.poll() is None:
            child.send_signal(stop_signal)
    end = time.monotonic() + STOP_SECONDS
    for child, _ in children:
        try:
            child.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        _kill_group(child.pid, signal.SIGKILL)


def _end_left_over(lock: int, pid_file: Path, name: str, stop_signal: signal.Signals) -> None:
    end = time.monotonic() + 2 * STOP_SECONDS
    asked = killed = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            return
        now = time.monotonic()
        pid = int(pid_file.read_text()) if pid_file.exists() else 0
        if pid and not asked:
            _kill_group(pid, stop_signal)
            asked = True
        elif pid and not killed and now > end - STOP_SECONDS:
            _kill_group(pid, signal.SIGKILL)
            killed = True
        if now > end:
            raise RuntimeError(f"{name} of an earlier run (process {pid or '?'}) does not end; kill it and try again")
        time.sleep(0.05)


def _kill_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)  # loaded before the fork
    pr_set_pdeathsig = 1

    def ask() -> None:
        library.prctl(pr_set_pdeathsig, int(number))

    return ask


def wait_ready(
    child: "subprocess.Popen[bytes]", probe: Callable[[], object], name: str, log: Path, seconds: float = 60
) -> None:
    """Wait until `probe` no longer raises. Raises RuntimeError with the end of the log if the child dies."""
    end = time.monotonic() + seconds
    while True:
        try:
            probe()
        except Exception as error:
            if child.poll() is not None or time.monotonic() > end:
                what = (
                    f"ended with {child.returncode}"
                    if child.poll() is not None
                    else f"is not ready after {seconds:.0f} s"
                )
                raise RuntimeError(f"{name} {what}; the end of {log}:\n{tail(log)}") from error
            time.sleep(0.03)
        else:
            return


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
