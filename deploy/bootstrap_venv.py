"""Make or repair a virtual environment and install what a requirements file names. Standard library only.

Usage: python deploy/bootstrap_venv.py FOLDER REQUIREMENTS
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
PRIVATE = Path(os.environ.get("HEADRACE_STATE") or ROOT / ".headrace")


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this is where an older Python is told so
        sys.exit(
            f"Headrace needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. "
            "Try: make PYTHON=/path/to/python3.11 ..."
        )
    folder, requirements = Path(sys.argv[1]).absolute(), ROOT / sys.argv[2]
    PRIVATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    PRIVATE.chmod(0o700)  # users' files will lie there
    with (PRIVATE / "setup.lock").open("a+") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)  # two makes at once: the second waits, and finds all done
        if _was_cut_off(mark) or not _has_pip(folder / "bin" / "python"):
            _mark(mark, "making\n")
            _create(folder)
        _mark(mark, "installing\n")
        _install(folder / "bin" / "python", requirements)
        _mark(mark, "")


def _was_cut_off(mark: IO[str]) -> bool:
    """Whether an install was killed or failed. The environment then starts anew: pip writes a package's metadata before
    its programs, so that a half-installed one looks whole to it.
    """
    mark.seek(0)
    return mark.read() != ""


def _mark(mark: IO[str], text: str) -> None:
    mark.truncate(0)
    mark.write(text)
    mark.flush()


def _has_pip(python: Path) -> bool:
    try:
        return subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _create(folder: Path) -> None:
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", folder], capture_output=True, check=False)
    if made.returncode == 0:
        return
    # Some systems ship Python without ensurepip: virtualenv does the same, from a folder of our own.
    tools = PRIVATE / "tools"
    _quietly([sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target", tools, "virtualenv"])
    search = os.pathsep.join(filter(None, [str(tools), os.environ.get("PYTHONPATH", "")]))
    _quietly([sys.executable, "-m", "virtualenv", "-q", "--clear", folder], {**os.environ, "PYTHONPATH": search})


def _install(python: Path, requirements: Path) -> None:
    install: list[str | Path] = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    _quietly([*install, "-r", requirements])
    _quietly([*install, "--no-deps", "--no-build-isolation", "-e", ROOT])


def _quietly(command: list[str | Path], environment: dict[str, str] | None = None) -> None:
    """Run, and show what it said only if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
