"""House rules that a machine can check, and that what stands in files fits together."""

import ast
import re
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import pytest
import yaml
from honcho.environ import parse_procfile

from cli.embedded.seaweed import FLAGS
from common.settings import DEVELOPMENT_SECRET, Settings
from tests.gates import (
    COMMITTING,
    LONG_SQL,
    OURS,
    clocks,
    commits,
    long_file,
    long_functions,
    names_of_two_things,
    renamed_modules,
    silenced_without_reason,
    sources,
)
from tests.support import OWN_SECRET

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("api", "workers", "scheduler", "storage", "companies", "common", "models", "cli")
SOURCES = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
TREE = sources(ROOT, PACKAGES)
PYTHON = sources(ROOT, OURS, {".py"})
NAMES = {name.upper() for name in Settings.model_fields}


def test_the_walk_is_recursive_and_reads_every_language() -> None:
    assert {"models/db.py", "workers/calls/lua/report.lua", "workers/providers/sketch/art/sky.py"} <= set(TREE)
    assert {PurePath(path).suffix for path in TREE} == {".py", ".sql", ".lua"}


@pytest.mark.parametrize("gate", [long_file, long_functions, commits, clocks], ids=lambda gate: gate.__name__)
def test_the_product_keeps_the_house_rules(gate: Callable[[str, str], list[str]]) -> None:
    assert [fault for path, text in TREE.items() for fault in gate(path, text)] == []


def test_what_is_excused_is_still_there() -> None:
    """An excuse that nobody needs goes."""
    bodies = {
        name for path, text in TREE.items() if path.endswith(".sql") for name in re.findall(r"function (\w+)", text)
    }
    assert set(LONG_SQL) <= bodies
    assert {path for path in COMMITTING if path not in TREE} == set()


def test_whatever_stands_beside_the_code_is_packaged() -> None:
    given: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]
    beside = [
        path.relative_to(ROOT / package)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
        for globs in [given.get(package, [])]
        if not any(path.relative_to(ROOT / package).match(each) for each in globs)
    ]
    assert beside == []


def test_functions_of_tests_are_short_too() -> None:
    """Their files may be long: one has the cases of a whole module."""
    assert [fault for path, text in PYTHON.items() for fault in long_functions(path, text)] == []


def test_whatever_silences_a_check_says_why() -> None:
    assert [fault for path, text in PYTHON.items() for fault in silenced_without_reason(path, text)] == []


def test_nobody_renames_our_modules() -> None:
    modules = frozenset(path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in PYTHON)
    assert [fault for path, text in PYTHON.items() for fault in renamed_modules(path, text, modules)] == []


def test_no_two_public_things_share_a_name() -> None:
    shared = names_of_two_things({path: text for path, text in TREE.items() if path.endswith(".py")})
    assert shared == {}, "call one of the two by another name"


def test_the_compose_file_is_the_procfile_in_containers_with_settings_that_exist() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    procfile = dict(parse_procfile((ROOT / "Procfile").read_text()).processes)
    services = compose["services"]
    for name, command in procfile.items():
        assert services[name]["command"] == command
        given = set(services[name]["environment"])
        assert given <= NAMES, given - NAMES
        assert {"DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL", "SECRET_KEY", "ENVIRONMENT"} <= given
    assert {"postgres", "redis", "s3", "migrate"} <= set(services)
    assert "noeviction" in " ".join(services["redis"]["command"])


def _command_lines(service: dict[str, Any]) -> str:
    parts = [service.get("command", ""), service.get("entrypoint", ""), service.get("healthcheck", {}).get("test", "")]
    return "\n".join("\n".join(part) if isinstance(part, list) else part for part in parts)


def test_compose_puts_no_secret_on_a_command_line() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in services.items():
        # $$ is the shell's own, inside the container; $ is compose's, whose value everybody on the machine would see.
        told = re.findall(r"(?<!\$)\$\{?([A-Z_]+)", _command_lines(service))
        assert not told, f"{name} shows {told}"
        shown = re.search(r"(-a|--pass|--requirepass|-password)[= ]", _command_lines(service))
        assert not shown, f"{name} shows a password"


def test_compose_closes_the_s3_servers_inner_ports_with_keys_that_are_there_before_it() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    s3, keys = compose["services"]["s3"], compose["services"]["s3-keys"]
    assert s3["depends_on"]["s3-keys"] == {"condition": "service_completed_successfully"}
    assert keys["command"].endswith(" /etc/seaweedfs")
    assert "s3-keys:/etc/seaweedfs" in keys["volumes"]
    assert "s3-keys:/etc/seaweedfs:ro" in s3["volumes"]
    assert "s3-keys" in compose["volumes"]
    assert set(FLAGS) <= set(s3["command"])
    assert "ports" not in s3


def test_the_image_and_composes_processes_run_in_production() -> None:
    text = (ROOT / "Dockerfile").read_text()
    given = dict(pair.split("=", 1) for line in re.findall(r"^ENV (.*)$", text, re.MULTILINE) for pair in line.split())
    assert given["ENVIRONMENT"] == "production"
    assert "SECRET_KEY" not in text  # one for all would be none
    assert re.search(r"install -d -o headrace .* /etc/seaweedfs", text)  # the keys' volume belongs to who writes it
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for service in services.values():
        if "environment" in service and service.get("build"):
            assert service["environment"]["ENVIRONMENT"] == "production"


def test_the_example_environment_names_settings_that_exist() -> None:
    lines = [line.lstrip("# ") for line in (ROOT / ".env.example").read_text().splitlines()]
    given = {line.partition("=")[0] for line in lines if re.match(r"^[A-Z][A-Z0-9_]+=", line)}
    assert given <= NAMES | {"HEADRACE_API_KEY"}, given - NAMES
    assert {"DATABASE_URL", "REDIS_URL", "S3_BUCKET", "SECRET_KEY"} <= given


def test_the_dockerfile_runs_what_the_procfile_names() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "requirements.txt" in text
    assert "USER" in text
    roots = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    assert set(re.findall(r"^COPY (\w+) ", text, re.MULTILINE)) == set(roots), "every package that production imports"


@pytest.mark.parametrize("changes", [
    {}, {"SECRET_KEY": DEVELOPMENT_SECRET}, {"SECRET_KEY": "short"}, {"SECRET_KEY": OWN_SECRET, "CLOCK_OFFSET_SECONDS": "1"},
    {"SECRET_KEY": OWN_SECRET, "CORS_ORIGINS": "*"}, {"SECRET_KEY": OWN_SECRET, "PUBLIC_URL": "http://api.example.com"},
    {"SECRET_KEY": OWN_SECRET, "REDIS_URL": "redis://redis.example.com/0"},
    {"SECRET_KEY": OWN_SECRET, "DATABASE_URL": "postgresql://app@db.example.com/headrace"},
])  # fmt: skip
def test_production_refuses_defaults(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.delenv("SECRET_KEY", raising=False)
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="not fit for production"):
        Settings(_env_file=None)


def test_production_starts_with_a_secret_of_its_own_and_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", OWN_SECRET)
    assert OWN_SECRET not in repr(Settings(_env_file=None))


def test_requirements_are_exact_and_name_no_address() -> None:
    for path in ROOT.glob("requirements*.txt"):
        for line in path.read_text().splitlines():
            assert re.match(r"^(#.*|-r requirements[a-z-]*\.txt|[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*|)$", line), line


SECRET_NAMES = re.compile(r"secret|signature|password|hmac|digest|\bsigned|\bright\b", re.IGNORECASE)
# What only looks like it: a setting against the text that it must not be.
NOT_OF_STRANGERS = {"self.secret_key.get_secret_value() == DEVELOPMENT_SECRET"}


def compared(text: str) -> list[str]:
    """The comparisons of secrets in a source whose time tells how much of them is right."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare) and all(
            isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops
        ):
            said = ast.unparse(node)
            sizes = re.sub(r"len\([^()]*\)|\w+\.count\([^()]*\)|[A-Z_]+_BYTES", "", said)
            if SECRET_NAMES.search(sizes) and said not in NOT_OF_STRANGERS:
                found.append(said)
    return found


def test_secrets_are_compared_in_constant_time() -> None:
    assert compared("if given == signature: pass") == ["given == signature"]
    assert compared("if secret in known: pass") == ["secret in known"]
    # Settings are judged when a process starts, and logs redacted as they come: nobody can ask again and again.
    asked = [path for path in SOURCES if path.name not in {"fitness.py", "settings.py", "redact.py"}]
    assert {str(path): found for path in asked if (found := compared(path.read_text()))} == {}


EXECUTES = {"execute", "executemany", "exec", "exec_driver_sql", "get_one", "scalars"}
# Who speaks SQL outside the models, and why. (What is called `pipe` is a pipeline of Redis.)
SPEAK_SQL = {
    "workers/providers/sketch/book.py": "the built-in provider's own SQLite file: a provider knows no database of ours",
    "cli/embedded/postgres.py": "makes the database, before there is one to make a transaction in",
}


def executed(text: str) -> list[str]:
    """The calls in a source that execute a statement."""
    return [
        ast.unparse(node)[:100]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in EXECUTES
        and ast.unparse(node.func.value) != "pipe"
    ]


def test_only_the_models_execute_sql() -> None:
    assert executed("conn.execute('select 1')")
    assert executed("with session() as opened: opened.exec(select(Plan)).all()")
    assert not executed("pipe.execute()")
    paths = {path: str(path.relative_to(ROOT)) for path in SOURCES}
    found = {
        name: said
        for path, name in paths.items()
        if not name.startswith("models/") and (said := executed(path.read_text()))
    }
    assert found.keys() == SPEAK_SQL.keys(), found
