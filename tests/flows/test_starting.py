"""What cannot start says so in one sentence, without a trace and without the secret; and other programs' variables move
nothing of ours.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import api.main
import cli.main
import scheduler.main
import workers.deliver.main
import workers.main
from common.foreign import is_foreign
from tests.common.test_places import DATABASES, MAIL, REDIS, SECRET, WEB
from tests.conftest import environment
from tests.support import System, account, assert_books_are_clean, ended, model

ROOT = Path(__file__).resolve().parents[2]
NONSENSE = {
    "DATABASE_URL": DATABASES, "REDIS_URL": REDIS, "S3_ENDPOINT_URL": WEB, "PUBLIC_URL": WEB, "CALLBACK_URL": WEB,
    "CLERK_ISSUER": WEB, "OIDC_ISSUERS": WEB, "SMTP_URL": MAIL, "S3_BUCKET": ["{} x", "/{}", "x/{}", "-{}"],
    "ALLOW_PRIVATE_ADDRESSES": ["http://u:{}@h", "{}", "*:80"], "CLERK_WEBHOOK_SECRET": ["{}", "whsec_{}!"],
    "API_PORT": ["{}", "99999999"], "WORKER_THREADS": ["{}", "0"], "ENVIRONMENT": ["{}"], "S3_SECONDS": ["{}", "0", "nan"],
}  # fmt: skip
PROCESSES: dict[str, Callable[[], None]] = {
    "api": api.main.main, "worker": lambda: workers.main.main([]), "scheduler": scheduler.main.main,
    "deliver": lambda: workers.deliver.main.main([]),
}  # fmt: skip
COMMANDS = [["queues"], ["audit"], ["jobs"], ["account", "x"], ["migrate"], ["margin"], ["catalogue", "show", "x"]]
CASES = [(name, value.replace("{}", SECRET)) for name, values in NONSENSE.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_nonsense_in_a_setting_ends_every_process_with_one_sentence(
    name: str, value: str, stack: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with environment({name: value}):
        for process in PROCESSES.values():
            with pytest.raises(SystemExit) as caught:
                process()
            _is_one_sentence(str(caught.value), name)
        # Each in one command: all of them read their settings the same way, and each meets twenty of these.
        monkeypatch.setattr(sys, "argv", ["headrace", *COMMANDS[CASES.index((name, value)) % len(COMMANDS)]])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main.main()
        assert caught.value.code == 1
        _is_one_sentence(capsys.readouterr().err.strip(), name)


def _is_one_sentence(told: str, name: str) -> None:
    assert name in told, told
    assert SECRET not in told, told
    assert "\n" not in told, told
    assert "Traceback" not in told, told


def _said(module: str, *arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
        env={**os.environ, **variables},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    return done.stderr.strip()


@pytest.mark.parametrize("module", ["api", "workers", "scheduler", "workers.deliver"])
def test_a_process_by_itself_says_no_more_than_that(stack: object, module: str) -> None:
    _is_one_sentence(_said(module, DATABASE_URL=f"mysql://u:{SECRET}@h/d"), "DATABASE_URL")


def test_who_cannot_reach_the_database_says_why(stack: object) -> None:
    away = f"postgresql://u:{SECRET}@127.0.0.1:1/d"
    told = _said("api", DATABASE_URL=away).splitlines()
    _is_one_sentence(told[-1], "DATABASE_URL")
    assert "refused" in told[-1]
    assert len(told) == 1
    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", "audit"], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "DATABASE_URL": away}, check=False,
    )  # fmt: skip
    _is_one_sentence(done.stderr.strip(), "DATABASE_URL")
    assert (done.returncode, "refused" in done.stderr) == (1, True)


# Everything that libpq, botocore, obstore, requests and httpx would read, and what would become of us then.
FOREIGN = {
    "PGHOST": "nowhere.invalid", "PGHOSTADDR": "192.0.2.1", "PGPORT": "1", "PGUSER": "nobody", "PGPASSWORD": "wrong",
    "PGDATABASE": "none", "PGSERVICE": "nonsense", "PGSERVICEFILE": "/nonexistent", "PGOPTIONS": "-c nonsense=1",
    "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/nonexistent", "PGSSLCERT": "/nonexistent", "PGSSLNEGOTIATION": "direct",
    "PGTARGETSESSIONATTRS": "standby", "PGREQUIREAUTH": "none", "PGCHANNELBINDING": "require", "PGGSSENCMODE": "require",
    "PGTZ": "Asia/Tokyo", "PGDATESTYLE": "German", "PGCLIENTENCODING": "LATIN1", "PGCONNECT_TIMEOUT": "x",
    "PGPASSFILE": "/nonexistent", "PGMINPROTOCOLVERSION": "9.9", "PGAPPNAME": "x", "PGLOADBALANCEHOSTS": "x",
    "AWS_PROFILE": "nonsense", "AWS_DEFAULT_PROFILE": "nonsense", "AWS_ACCESS_KEY_ID": "wrong", "AWS_SECRET_ACCESS_KEY": "wrong",
    "AWS_SESSION_TOKEN": "wrong", "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    "AWS_ENDPOINT": "http://127.0.0.1:1", "AWS_CONFIG_FILE": "/nonexistent/x", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_REGION": "mars-1", "AWS_DEFAULT_REGION": "mars-1", "AWS_BUCKET": "other", "AWS_BUCKET_NAME": "other",
    "AWS_CA_BUNDLE": "/nonexistent", "AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true", "AWS_SKIP_SIGNATURE": "true", "AWS_UNSIGNED_PAYLOAD": "true",
    "AWS_CHECKSUM_ALGORITHM": "sha256", "AWS_SERVER_SIDE_ENCRYPTION": "aws:kms", "AWS_S3_EXPRESS": "true",
    "AWS_PROXY_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "x", "AWS_RETRY_MODE": "nonsense", "AWS_DEFAULTS_MODE": "x",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported", "AWS_ALLOW_HTTP": "false", "AWS_EC2_METADATA_DISABLED": "true",
    "HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "socks5://127.0.0.1:1", "NO_PROXY": "x",
    "http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1", "all_proxy": "socks5://127.0.0.1:1", "no_proxy": "x",
    "REQUESTS_CA_BUNDLE": "/nonexistent", "CURL_CA_BUNDLE": "/nonexistent",
}  # fmt: skip


def test_every_variable_of_other_programs_is_known() -> None:
    assert all(is_foreign(name) for name in FOREIGN)


def test_a_job_is_done_whatever_other_programs_variables_say(system: System, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "config").write_text(
        "[default]\nregion=mars-1\nendpoint_url=http://127.0.0.1:1\nretry_mode=none\n"
    )
    (home / ".pgpass").write_text("*:*:*:*:wrong\n")
    (home / ".pg_service.conf").write_text("[nonsense]\nhost=nowhere.invalid\n")
    who = account(amount=5)
    model("quick", price={"unit": "job", "credits": 1})
    names = ("api", "worker", "scheduler", "deliver")
    system.start(*names, **{name: {**FOREIGN, "HOME": str(home)} for name in names})
    with system.client(who) as client:
        job = ended(client, client.post("/v1/jobs", json={"model": "quick", "input": {}}).json()["id"])
        assert job["status"] == "succeeded", job
        assert client.get(job["outputs"][0]["url"]).status_code == 200
    assert_books_are_clean()
    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", "doctor"], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, **FOREIGN, "HOME": str(home)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
