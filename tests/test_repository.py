"""House rules that a machine can check, and that what stands in files fits together."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from honcho.environ import parse_procfile

from models.settings import DEVELOPMENT_SECRET, Settings

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("api", "workers", "scheduler", "storage", "common", "models", "cli")
SOURCES = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
NAMES = {name.upper() for name in Settings.model_fields}


def test_only_models_db_commits() -> None:
    assert [str(path) for path in SOURCES if ".commit(" in path.read_text() and path != ROOT / "models/db.py"] == []


def test_domain_code_asks_the_databases_clock() -> None:
    """House rule 5: verbs compare with app_now(); now() stands nowhere else in SQL."""
    for path in (ROOT / "models").glob("*.py"):
        assert not re.search(r"(?<!app_)\bnow\(\)", path.read_text()), path
        assert "datetime.now(" not in path.read_text(), path


def test_functions_are_short_and_files_are_not_long() -> None:
    for path in SOURCES:
        if "versions" in path.parts:
            continue
        text = path.read_text()
        assert text.count("\n") <= 450, f"{path} is long"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 75, f"{path}: {node.name} is long"


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


def test_the_example_environment_names_settings_that_exist() -> None:
    lines = [line.lstrip("# ") for line in (ROOT / ".env.example").read_text().splitlines()]
    given = {line.partition("=")[0] for line in lines if re.match(r"^[A-Z][A-Z0-9_]+=", line)}
    assert given <= NAMES | {"HEADRACE_API_KEY"}, given - NAMES
    assert {"DATABASE_URL", "REDIS_URL", "S3_BUCKET", "SECRET_KEY"} <= given


def test_the_dockerfile_runs_what_the_procfile_names() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "requirements.txt" in text
    assert "USER" in text
    for package in PACKAGES:
        assert re.search(rf"\b{package}\b", text), package


@pytest.mark.parametrize("changes", [
    {}, {"SECRET_KEY": DEVELOPMENT_SECRET}, {"SECRET_KEY": "short"}, {"SECRET_KEY": "x" * 40, "CLOCK_OFFSET_SECONDS": "1"},
    {"SECRET_KEY": "x" * 40, "CORS_ORIGINS": "*"}, {"SECRET_KEY": "x" * 40, "PUBLIC_URL": "http://api.example.com"},
    {"SECRET_KEY": "x" * 40, "REDIS_URL": "redis://redis.example.com/0"},
    {"SECRET_KEY": "x" * 40, "DATABASE_URL": "postgresql://app@db.example.com/headrace"},
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
    monkeypatch.setenv("SECRET_KEY", "s3cret" * 8)
    assert "s3cret" not in repr(Settings(_env_file=None))


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
    assert {str(path): found for path in SOURCES if (found := compared(path.read_text()))} == {}
