"""Every command, target, module, setting and file that a document names exists."""

import importlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cli.main import app
from common.settings import Settings
from tests.documents import Known, openapi, strange_calls, strangers
from tests.gates import OURS, sources

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / ".github/pull_request_template.md", ROOT / ".env.example",
]  # fmt: skip
# What was decided, and what changed, is told with the names of its time.
HISTORY = {"DECISIONS.md", "CHANGELOG.md"}
# Variables and words that are others' own.
OTHERS = {
    "CDN_URL", "FAL_KEY", "FAL_QUEUE_RUN_HOST", "FAL_RUN_HOST", "OPENAI_API_KEY", "OPENAI_BASE_URL", "REPLICATE_API_TOKEN",
    "REPLICATE_BASE_URL", "REST_URL",
    "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "FORWARDED_ALLOW_IPS", "HEADRACE_DEEP", "HEADRACE_JOBS", "HEADRACE_SEED", "OUTAGE_SECONDS", "OWN_SECRET", "REQUESTS_CA_BUNDLE",
    "SCHED_IDLE", "SLEEP_SECONDS", "SSL_CERT_FILE",
}  # fmt: skip
# Places that are made when something runs.
MADE = {"archive/", ".venv/", ".headrace/", "demo-results/", "benchmarks/results/", ".venv/bin/activate"}


def _commands(group: Any, before: str = "") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= _commands(command, f"{before}{name} ")
        else:
            found[before + name] = {each for param in command.params for each in (*param.opts, *param.secondary_opts)}
    return found


def _is_path(name: str) -> bool:
    """Of the tree, of its tests, of a package (`deploy/nginx.conf`, `common/test_guard.py`, `edge/`), or made by a run."""
    bases = [ROOT, ROOT / "tests", ROOT / "docs", *(ROOT / folder for folder in OURS)]
    return name in MADE or any((base / name).exists() for base in bases)


def _is_dotted(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for each in parts[length:]:
            if not hasattr(found, each):
                return False
            found = getattr(found, each)
        return True
    return False


@lru_cache
def known() -> Known:
    product = [folder for folder in OURS if folder != "tests"]
    words = {word for text in sources(ROOT, product).values() for word in re.findall(r"\b[A-Z][A-Z0-9_]+\b", text)}
    # Not those of tests: a setting that is gone may still stand there.
    settings = {name.upper() for name in Settings.model_fields}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    return Known(_commands(get_command(app)), targets, settings | words | OTHERS, _is_path, _is_dotted)


@pytest.mark.parametrize("path", [each for each in DOCUMENTS if each.name not in HISTORY], ids=lambda path: path.name)
def test_what_a_document_names_is_there(path: Path) -> None:
    assert strangers(path.name, path.read_text(), known()) == []


@pytest.mark.parametrize("path", [each for each in DOCUMENTS if each.name not in HISTORY], ids=lambda path: path.name)
def test_a_call_that_a_document_names_is_one_of_the_api(path: Path) -> None:
    assert strange_calls(path.read_text(), openapi()["paths"]) == []


@pytest.mark.parametrize(
    ("text", "strange"),
    [
        ("`GET /v1/jobs`, `POST /v1/jobs/{id}/cancel`", []), ("`GET /v1/jobs?limit=20`", []), ("`GET /v1/admin/stats?days=N`", []),
        ("`POST /api/account/{function}`", []), ("`GET /v1/ghosts`", ["GET /v1/ghosts"]),
        ("`DELETE /v1/jobs/{job_id}`", ["DELETE /v1/jobs/{job_id}"]), ("`POST /v1/jobs/{id}/ghost`", ["POST /v1/jobs/{id}/ghost"]),
        ("send `POST /v1/jobs/cancel`", ["POST /v1/jobs/cancel"]), ("`PUT /v1/jobs/`", ["PUT /v1/jobs/"]),
    ],
)  # fmt: skip
def test_a_call_of_nothing_is_found(text: str, strange: list[str]) -> None:
    assert strange_calls(text, openapi()["paths"]) == strange


@pytest.mark.parametrize(
    "text",
    [
        "`headrace balance`", "```\nheadrace jobs; headrace ghosts\n```", "`headrace catalogue FILE`",
        "`headrace jobs --colour`", "`make everything`", "```\nmake check nothing\n```", "`python -m workers.ghost`",
        "set NO_SUCH_SETTING to 1", "`models/jobs/ghost.py`", "[more](docs/ghost.md)", "`models.jobs.submit.ghost`",
        "`ghosts/`",
    ],
)  # fmt: skip
def test_a_name_of_nothing_is_found(text: str) -> None:
    assert len(strangers("README.md", text, known())) == 1


@pytest.mark.parametrize(
    "text",
    [
        "`headrace jobs --json`", "`headrace catalogue apply FILE --dry-run`", "`make check`", "`python -m workers.deliver`",
        "`DATABASE_URL`", "`models/jobs/submit.py`", "[more](docs/events.md)", "`models.jobs.submit.submit`",
        "`POST /v1/jobs`, `/v1/jobs/{id}/cancel`", "we make sure that headrace runs", "https://example.com/a/b.py",
    ],
)  # fmt: skip
def test_what_is_there_passes(text: str) -> None:
    assert strangers("README.md", text, known()) == []


def test_a_file_that_is_no_markdown_is_code_from_end_to_end() -> None:
    assert strangers(".env.example", "# see docs/ghost.md\nNO_SUCH_SETTING=1\n", known()) != []
