"""What a command works with is imported when it works: help and version cost none of it."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from cli.later import later, was_used

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "alembic", "av", "boto3", "cryptography", "dramatiq", "fastapi", "httpx", "honcho", "jsonschema_rs", "numpy", "PIL",
    "psycopg", "psycopg_pool", "redis", "sqlalchemy", "sqlmodel", "starlette", "uvicorn",
}  # fmt: skip
# Every command's help, in one process; then which modules that took.
HELPS = """
import sys
from typer.main import get_command
from typer.testing import CliRunner
from cli.main import app

def paths(command, before):
    for name, each in getattr(command, "commands", {}).items():
        yield [*before, name]
        yield from paths(each, [*before, name])

asked = [["--version"], ["--help"], *([*path, "--help"] for path in paths(get_command(app), []))]
for each in asked:
    done = CliRunner().invoke(app, each)
    assert done.exit_code == 0, (each, done.output)
waiting = {name for name, module in sys.modules.items() if type(module).__name__ == "_LazyModule"}
assert "models.db" in waiting
print(len(asked), *sorted({name.partition(".")[0] for name in sys.modules.keys() - waiting}))
"""


def imported(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


def test_no_help_and_no_version_imports_what_a_command_works_with() -> None:
    count, *modules = imported(HELPS)
    assert int(count) > 30
    assert sorted(HEAVY & set(modules)) == []


def test_a_command_that_orders_over_http_imports_no_database() -> None:
    program = "import sys; from cli.main import client; client.Api('http://127.0.0.1:1', None); print(*sys.modules)"
    modules = set(imported(program))
    assert "httpx" in modules
    assert not modules & {"psycopg", "sqlmodel", "fastapi"}


def test_a_module_is_executed_at_the_first_look_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "workers_of_a_test"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "part.py").write_text("VALUE = 7\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("cli.later.PARTS", ("workers_of_a_test",))
    with later():
        part = import_module("workers_of_a_test.part")
    assert isinstance(part, ModuleType)
    assert not was_used(part)
    assert part.VALUE == 7
    assert was_used(part)
    for name in ("workers_of_a_test.part", "workers_of_a_test"):
        sys.modules.pop(name)
