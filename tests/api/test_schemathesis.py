"""The whole OpenAPI document, as schemathesis reads it: no 500, no undocumented status, no answer that breaks its schema."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.access import api_keys
from models.access.scopes import SCOPES
from models.db import transaction
from tests.depth import examples, is_deep
from tests.support import ADMIN_TOKEN, System, account

# What a schema cannot say: whether a model takes this input, whether a job has ended, whether credits are left.
CONFIG = f"""
hooks = "hooks.py"

[generation]
max-examples = {examples(10)}

[checks]
positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 402, 403, 404, 409, 410, 422, 429]
"""

# Each bound of each field, from both sides, is most of the time that it takes: 150 s of a core for 230 operations.
PHASES = "examples,coverage,fuzzing" if is_deep() else "examples,fuzzing"

# Of a batch, whose body is JSON Lines: one of them.
HOOKS = """
import json
import schemathesis

@schemathesis.serializer("application/x-ndjson")
def line(context, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()
"""


@pytest.mark.timeout(600)
def test_the_document_holds_for_whatever_is_sent(system: System, tmp_path: Path) -> None:
    who = account(amount=1000)
    with transaction() as conn:
        secret = api_keys.create(conn, who, api_keys.NewKey("schemathesis", scopes=SCOPES))[1]
        conn.execute("update users set role = 'admin'")
    system.start("api", "scheduler", api={"FAILED_AUTH_PER_MINUTE": "1000000"})
    checked(system, tmp_path, secret, "--exclude-path-regex", "^/api/")


def checked(system: System, tmp_path: Path, secret: str, *paths: str) -> None:
    """Whether all checks hold on these paths, with this key or token."""
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    (tmp_path / "hooks.py").write_text(HOOKS)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(tmp_path / "schemathesis.toml"), "run",
            f"{system.url}/openapi.json", "--header", f"Authorization: Bearer {secret}", "--checks", "all",
            "--phases", PHASES, "--seed", "7", "--no-color", "--workers", "1", *paths,
        ],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=570,
    )  # fmt: skip
    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]


@pytest.mark.timeout(600)
def test_the_document_holds_for_the_web_client_too(system: System, tmp_path: Path) -> None:
    system.start("api", api={"FAILED_AUTH_PER_MINUTE": "1000000"})
    checked(system, tmp_path, ADMIN_TOKEN, "--include-path-regex", "^/api/")
