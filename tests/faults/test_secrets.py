"""Whatever a process of ours fails by, no password of its settings is in what it writes: real processes, with servers that are
away, that refuse them, and addresses that cannot be read. Each starts one, which is what makes it long.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cli.embedded.servers import Addresses

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]

PROCESSES = {
    "api": ["-m", "api"], "worker": ["-m", "workers"], "scheduler": ["-m", "scheduler"], "deliver": ["-m", "workers.deliver"],
    "doctor": ["-c", "from cli.main import main; main()", "doctor"], "migrate": ["-c", "from cli.main import main; main()", "migrate"],
    "audit": ["-c", "from cli.main import main; main()", "audit"],
}  # fmt: skip
AWAY = {
    "DATABASE_URL": "postgresql://app:Marked-1-database@127.0.0.1:1/headrace", "REDIS_URL": "redis://:Marked-1-redis@127.0.0.1:1/0",
    "BROKER_URL": "amqp://headrace:Marked-1-broker@127.0.0.1:1/ours",
    "SMTP_URL": "smtp://me:Marked-1-mail@127.0.0.1:1", "S3_ENDPOINT_URL": "http://127.0.0.1:1", "S3_ACCESS_KEY_ID": "someone",
    "S3_SECRET_ACCESS_KEY": "Marked-1-storage", "SECRET_KEY": "Marked-1-of-at-least-32-characters",
}  # fmt: skip


def refusing(stack: Addresses) -> dict[str, str]:
    """The real servers, with passwords that they refuse."""
    database, cache = urlsplit(stack.database_url), urlsplit(stack.redis_url)
    return AWAY | {
        "DATABASE_URL": f"postgresql://nobody:Marked-1-database@{database.hostname}:{database.port}/postgres",
        "REDIS_URL": f"redis://nobody:Marked-1-redis@{cache.hostname}:{cache.port}/0",
        "S3_ENDPOINT_URL": stack.s3_endpoint_url,
    }


ODD = {
    "a driver": "postgresql+psycopg://app:Marked-1@127.0.0.1:1/x", "a slash": "postgresql://app:x/Marked-1@127.0.0.1:1/x",
    "no host": "postgresql://app:Marked-1@", "conninfo": "host=127.0.0.1 port=1 user=app password=Marked-1 dbname=x",
    "a bad port": "postgresql://app:pw:Marked-1@127.0.0.1:1/x", "an option": "postgresql://app:Marked-1@127.0.0.1:1/x?Marked-1=1&sslmode=Marked-1",
    "no scheme": "app:Marked-1@127.0.0.1/x",
}  # fmt: skip


def output(name: str, values: dict[str, str], folder: Path) -> str:
    """All that a process writes until it has said of a fault, and has been stopped."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "HEADRACE"))} | values
    environment |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT), "PYTHONDEVMODE": "1", "API_PORT": "0"}
    environment["PYTHONMALLOC"] = "pymalloc"  # what it warns of is what is wanted, not its slow memory
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, *PROCESSES[name]], stdout=out, stderr=out, env=environment, cwd=folder
        )
        end = time.monotonic() + 40
        while child.poll() is None and time.monotonic() < end and not _has_failed(log):
            time.sleep(0.1)
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    return log.read_text(errors="replace")


def _has_failed(log: Path) -> bool:
    return any(word in log.read_text(errors="replace") for word in ("ERROR", "WARNING", "Traceback", "Error", "cannot"))


@pytest.mark.parametrize("name", PROCESSES)
def test_no_process_writes_a_password_of_a_server_that_is_away_or_refuses_it(
    name: str, stack: Addresses, tmp_path: Path
) -> None:
    for number, values in enumerate((AWAY, refusing(stack))):
        folder = tmp_path / str(number)
        folder.mkdir()
        told = output(name, values, folder)
        assert "Marked" not in told, told
        assert told, "it says that something is wrong"


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["doctor", "worker"])
def test_no_process_writes_a_password_of_an_address_that_cannot_be_read(name: str, kind: str, tmp_path: Path) -> None:
    told = output(name, AWAY | {"DATABASE_URL": ODD[kind]}, tmp_path)
    assert "Marked-1" not in told, told
    assert told


def test_settings_that_are_refused_are_told_without_their_values(tmp_path: Path) -> None:
    for values in (
        {"CLERK_WEBHOOK_SECRET": "Marked-1"},
        {"S3_SECONDS": "Marked-1"},
        {"DATABASE_POOL_SIZE": "postgres://u:Marked-1@h"},
    ):
        told = output("worker", AWAY | values, tmp_path)
        assert "Marked" not in told
        assert next(iter(values)) in told
