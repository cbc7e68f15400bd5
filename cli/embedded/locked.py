"""Child processes that can always be found again.

Each child inherits a locked file descriptor: the lock lives exactly as long as the child, or any child of its own
that inherits it. So "the lock is taken" means that a process of an earlier run is alive, and only then is the number
in the file believed. A PID file alone would name whatever process has that number today.
"""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

STOP_SECONDS = 6.0  # then kill: SeaweedFS sometimes hangs when it is stopped while it starts
LOG_BYTES = 8 * 1024 * 1024  # a longer log is set aside at the next start, as .log.1
CHILD = Path(__file__).with_name("child.py")
LAUNCHER = "launcher.lock"


class AlreadyRunning(RuntimeError):
    """Another launcher is alive in this folder."""


def hold(folder: Path) -> IO[str]:
    """Be the one launcher of a folder, until the returned file is closed or this process ends.

    Ends what a killed launcher has left running there. Raises AlreadyRunning if the other launcher is alive.
    """
    try:
        private_folder(folder)
        file = (folder / LAUNCHER).open("a+")
    except PermissionError as error:
        raise RuntimeError(f"{folder} is not this user's own ({error}); use another folder") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        pid = file.read().strip() or "?"
        file.close()
        raise AlreadyRunning(f"already running in {folder} (pid {pid}); stop it, or use another folder") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    try:
        _end_holders(path for path in folder.glob("*.lock") if path.name != LAUNCHER)
    except BaseException:
        file.close()
        raise
    return file


def spawn(
    folder: Path,
    name: str,
    command: Sequence[str | Path],
    *,
    stop_signal: signal.Signals = signal.SIGTERM,
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    without: Collection[str] = (),
    standard_input: str | None = None,
    output: int | IO[Any] | None = None,
    popen: "type[subprocess.Popen[bytes]]" = subprocess.Popen,
    **options: Any,
) -> "subprocess.Popen[bytes]":
    """Start a child in a session of its own, after ending whatever still holds its name in this folder.

    `prefix` is a program that changes the user and then runs the rest; `without` names variables of ours that the child
    does not get; `popen` is what starts it. Call from the main thread: on Linux the child
    gets `stop_signal` when the thread that made it ends, so that a killed launcher leaves nothing.
    """
    path, log_path = folder / f"{name}.lock", folder / f"{name}.log"
    _end_holders([path])
    _set_aside(log_path)
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)  # until the child has written its own number there is none to believe
        become = [sys.executable, "-I", "-S", CHILD, lock, int(stop_signal), _tied_to()]
        with log_path.open("ab") as log:
            child = popen(
                [str(part) for part in (*prefix, *become, *command)],
                stdin=subprocess.PIPE if standard_input is not None else subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log if output is None else subprocess.STDOUT,
                pass_fds=[lock],
                env={name: value for name, value in os.environ.items() if name not in without}
                | dict(environment or {}),
                start_new_session=True,
                **options,
            )
    finally:
        os.close(lock)
    if standard_input is not None:
        _feed(child, standard_input)
    return child


def stop(
    children: Sequence[tuple["subprocess.Popen[bytes]", signal.Signals]], patience: Mapping[int, float] | None = None
) -> None:
    """Ask all to stop, then make sure: the whole group of each. `patience`: seconds for some of them, by pid."""
    for child, stop_signal in children:
        if child.poll() is None:
            child.send_signal(stop_signal)
    begun = time.monotonic()
    try:
        for child, _ in children:
            end = begun + (patience or {}).get(child.pid, STOP_SECONDS)
            try:
                child.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
    finally:  # also when a second Ctrl-C cuts the waiting short
        for child, _ in children:
            signal_group(child.pid, signal.SIGKILL)
            child.wait()


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a child's whole group; nothing happens if it is gone."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def wait_ready(
    child: "subprocess.Popen[bytes]", probe: Callable[[], object], name: str, log: Path, seconds: float = 60
) -> None:
    """Wait until `probe` no longer raises. Raises RuntimeError with the end of the log if the child dies."""
    end = time.monotonic() + seconds
    while True:
        code = child.poll()  # before the probe, which something else on this port could answer
        if code is not None:
            raise RuntimeError(f"{name} ended with {code}; the end of {log}:\n{tail(log)}")
        try:
            probe()
        except Exception as error:
            if time.monotonic() > end:
                raise RuntimeError(
                    f"{name} is not ready after {seconds:.0f} s ({error}); the end of {log}:\n{tail(log)}"
                ) from error
        else:
            return
        time.sleep(0.03)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def private_folder(folder: Path) -> None:
    """Make a folder that nobody else can look into, or make it so, with the `.headrace` it may lie in: secrets, logs and
    users' files lie there, and an earlier version left it open.

    Raises PermissionError for a folder that is not ours alone to close: another user's, /tmp, a home.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in (folder, *folder.absolute().parents):
        if each == folder or each.name == ".headrace":
            found = each.stat()
            shared = found.st_mode & stat.S_ISVTX or each.resolve() in {
                Path("/"),
                Path(os.path.expanduser("~")).resolve(),
            }
            if found.st_uid != os.geteuid() or shared:
                raise PermissionError(f"{each} cannot be closed to others")
            each.chmod(0o700)


def read_private(path: Path, make: Callable[[], str]) -> str:
    """What a file holds that only its owner can read; it is made if it is missing, and closed if it was open."""
    if not path.exists():
        write_private(path, make())
    path.chmod(0o600)
    return path.read_text()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read: whole, or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _end_holders(paths: Iterable[Path]) -> None:
    """End the processes, if any, that hold these locks: politely, then by kill -9."""
    began = time.monotonic()
    sent: set[tuple[Path, signal.Signals]] = set()
    left = list(paths)
    while left := [path for path in left if _is_taken(path)]:
        waited = time.monotonic() - began
        if waited > 2 * STOP_SECONDS:
            names = ", ".join(f"{path.stem} (pid {path.read_text().split()[:1]})" for path in left)
            raise RuntimeError(f"left over from an earlier run, and does not end: {names}; kill it and try again")
        for path in left:
            holder = path.read_text().split()
            if len(holder) == 2:  # empty for the moment in which it starts
                number = signal.SIGKILL if waited > STOP_SECONDS else signal.Signals(int(holder[1]))
                if (path, number) not in sent:
                    signal_group(int(holder[0]), number)
                    sent.add((path, number))
        time.sleep(0.05)


def _is_taken(path: Path) -> bool:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _tied_to() -> int:
    """The process whose end is to end the child, or 0 where the system cannot do that."""
    return os.getpid() if sys.platform == "linux" else 0


def _set_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def _feed(child: "subprocess.Popen[bytes]", text: str) -> None:
    assert child.stdin is not None  # noqa: S101 - started with a pipe
    try:
        with child.stdin:
            child.stdin.write(text.encode())
    except BrokenPipeError:
        return  # it has ended already; wait_ready shows its log
