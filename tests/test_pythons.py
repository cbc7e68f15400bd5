"""Python 3.11 to 3.14: what this machine has of them reads every file without a warning, and no module is used that is gone."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
FILES = sorted(
    str(path)
    for folder in (
        "api",
        "workers",
        "scheduler",
        "storage",
        "companies",
        "common",
        "models",
        "cli",
        "deploy",
        "benchmarks",
        "tests",
    )
    for path in (ROOT / folder).rglob("*.py")
)
# Out of the standard library by 3.14 (PEP 594, PEP 632 and others), and what of asyncio went with them.
GONE = {
    "aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils", "imghdr", "imp", "lib2to3",
    "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr", "spwd", "sunau", "telnetlib", "uu",
    "xdrlib",
}  # fmt: skip
COMPILE = "import sys\nfor path in sys.stdin.read().split('\\n'):\n    compile(open(path, 'rb').read(), path, 'exec')\n"


def interpreter(version: str) -> str | None:
    """An interpreter of this version, if there is one."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(kept.glob(f"{version}.*/bin/python")) if kept.is_dir() else []
    for each in (*map(str, reversed(found)), shutil.which(f"python{version}")):
        if each and subprocess.run([each, "-c", ""], capture_output=True, check=False).returncode == 0:
            return each
    return None


def test_the_versions_are_those_that_are_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_every_file_is_read_without_a_warning(version: str) -> None:
    program = interpreter(version)
    if program is None:
        pytest.skip(f"there is no Python {version} here")
    done = subprocess.run(
        [program, "-W", "error", "-I", "-c", COMPILE],
        input="\n".join(FILES),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]


def test_no_module_is_used_that_newer_versions_have_lost() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(Path(path).read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not {name.partition(".")[0] for name in names} & GONE, path


def test_every_requirement_is_exact() -> None:
    for file in ROOT.glob("requirements*.txt"):
        for line in file.read_text().splitlines():
            if line and not line.startswith(("#", "-r ")):
                assert "==" in line, f"{file.name}: {line}"
