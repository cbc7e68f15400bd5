"""Make or repair a virtual environment and install what a requirements file names. Standard library only.

Usage: python deploy/venv.py FOLDER REQUIREMENTS
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this is where an older Python is told so
        sys.exit(
            f"Headrace needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Try: make PYTHON=/path/to/python3.11 ..."
        )
    folder, requirements = Path(sys.argv[1]).absolute(), sys.argv[2]
    python = folder / "bin" / "python"
    if not _works(python):
        _create(folder)
    _quietly([python, "-m", "pip", "install", "--disable-pip-version-check", "-q", "-r", ROOT / requirements])
    _quietly(
        [
            python,
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-e",
            ROOT,
        ]
    )


def _works(python: Path) -> bool:
    """Whether the environment is whole: a killed install may have left half of one."""
    try:
        return subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _create(folder: Path) -> None:
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", folder], capture_output=True, check=False)
    if made.returncode == 0:
        return
    # Some systems ship Python without ensurepip: make the environment with virtualenv, kept beside it.
    tools = folder.parent / ".headrace" / "tools"
    _quietly([sys.executable, "-m", "pip", "install", "-q", "--target", tools, "--upgrade", "virtualenv"])
    environment = {**os.environ, "PYTHONPATH": str(tools)}
    _quietly([sys.executable, "-m", "virtualenv", "--clear", "-q", folder], environment)


def _quietly(command: list[object], environment: dict[str, str] | None = None) -> None:
    """Run, and show what it said only if it failed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(str(part) for part in command)}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
