"""What all measurements stand on: real servers with fsync on, accounts with credits, processes, a report."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis

from benchmarks.filling import fill
from cli.embedded.processes import Processes
from cli.embedded.servers import free_ports, servers
from common.scratch import scratch_folder
from common.settings import settings
from models import db
from models.access import api_keys
from models.catalogue import entries
from models.catalogue.entries import Entry
from models.db import transaction
from models.schema import prepare

RESULTS = Path(__file__).parent / "results"
ACCOUNTS = 64
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"prompt": {"type": "string", "maxLength": 200}, "seed": {"type": "integer"}},
}


@dataclass
class Report:
    """Rows of what was measured: what, value, unit, the ratio to what stood beside it, the aim, and whether it was met.

    An aim is a number that is to be reached, or one with `<` before it that is not to be exceeded. It is held against the ratio
    where there is one, and against the value otherwise.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, what: str, value: float, unit: str, *, ratio: float | None = None, to: str = "", aim: str = ""
    ) -> None:
        met = is_met(value if ratio is None else ratio, aim)
        self.rows.append({"what": what, "value": value, "unit": unit, "ratio": ratio, "to": to, "aim": aim, "met": met})
        shown = f"{ratio:.2f} of {to}" if ratio is not None else ""
        missed = " MISSED" if met is False else ""
        print(f"  {what:<58} {value:>10,.1f} {unit:<8} {shown:<34} {'aim ' + aim + missed if aim else ''}", flush=True)

    def tell_missed(self) -> None:
        """Print which aims were missed, and by how much."""
        aimed = [row for row in self.rows if row["met"] is not None]
        missed = [row for row in aimed if not row["met"]]
        print(f"\n{len(aimed) - len(missed)} of {len(aimed)} aims met" + (", missed:" if missed else ""))
        for row in missed:
            found = row["value"] if row["ratio"] is None else row["ratio"]
            print(f"  {row['what'].strip()}: {found:,.2f} instead of {row['aim']}")

    def save(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "results.json").write_text(json.dumps(self.rows, indent=1))


def is_met(found: float, aim: str) -> bool | None:
    """Whether an aim is met; None: there is none."""
    if not aim:
        return None
    bound = float(aim.removeprefix("<").replace(",", ""))
    return found <= bound if aim.startswith("<") else found >= bound


class Stand:
    """Servers, a prepared database and its accounts."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.port = int(environment["API_PORT"])
        self.processes = Processes(folder, environment)

    def use(self, database: str) -> None:
        """Work on another database of the same server from now on."""
        db.close()
        server = settings().database_url.rpartition("/")[0]
        url = {"DATABASE_URL": f"{server}/{database}"}
        os.environ.update(url)
        self.environment.update(url)
        settings.cache_clear()
        self.processes = Processes(self.folder, self.environment)

    def fresh(
        self, *, stored_jobs: int = 0, database: str = "headrace", accounts: int = ACCOUNTS, slots: int = 1_000_000
    ) -> list[str]:
        """An empty database with so many accounts, each with a key, so many slots and one large grant. Returns the keys."""
        self.use(database)
        admin = settings().database_url.rpartition("/")[0] + "/postgres"
        with psycopg.connect(admin, autocommit=True) as conn:
            conn.execute(f"drop database if exists {database} with (force)")
            conn.execute(f"create database {database}")
        prepare.prepare()
        with transaction() as conn:
            conn.execute(
                "insert into plans values ('bench', 'Bench', 9, 0, 'once', 0, %s, 0, 1000000000000, 1000000000)",
                [slots],
            )
            conn.execute(_ACCOUNTS, [accounts])
            entries.apply(
                conn, [_entry("bench"), _entry("bench-slow", delay_seconds=0.5), _entry("bench-film", kind="video")]
            )
            secrets = [
                api_keys.create(conn, row[0], api_keys.NewKey("bench"))[1]
                for row in conn.execute("select id from accounts order by id").fetchall()
            ]
        if stored_jobs:
            fill(stored_jobs)
        with psycopg.connect(settings().database_url, autocommit=True) as conn:
            conn.execute("vacuum analyze")
            conn.execute("checkpoint")
        return secrets

    def analyze(self) -> None:
        """Statistics of tables that have rows: the floor's plans would otherwise be made for empty ones."""
        with psycopg.connect(settings().database_url, autocommit=True) as conn:
            conn.execute("vacuum analyze")

    def clear_runs(self) -> None:
        """Take away what a submit load has left waiting, so that workers begin with an empty line."""
        with psycopg.connect(settings().database_url) as conn:
            conn.execute("set session_replication_role = replica")
            conn.execute(
                "update jobs set ended = 'canceled', ended_at = app_now(), resolution = 'refund', charged_credits = 0 where live_id is not null"
            )
            conn.execute(
                "update reservations set resolution = 'refund', settled = 0, refunded = amount, resolved_at = app_now() where resolution is null"
            )
            conn.execute("delete from job_runs")
            conn.execute("update accounts set slots_in_use = 0, expected_bytes = 0")
        self.flush_redis()
        with psycopg.connect(settings().database_url, autocommit=True) as conn:
            conn.execute("vacuum analyze")

    def flush_redis(self) -> None:
        """Forget all messages."""
        with redis.Redis.from_url(settings().redis_url) as client:
            client.flushall()

    def start(self, *names: str, arguments: str = "", extra: dict[str, str] | None = None) -> None:
        for name in names:
            self.processes.start_one(name, extra, arguments=arguments if name == "worker" else "")
        if "api" in names:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                try:
                    if httpx.get(f"http://127.0.0.1:{self.port}/readyz").status_code == 200:
                        return
                except httpx.TransportError:
                    time.sleep(0.05)
            raise RuntimeError("the API does not start: " + self.processes.log("api").read_text()[-2000:])

    def stop(self) -> None:
        self.processes.stop()

    def load(self, secrets: list[str], *, clients: int, seconds: float, method: str = "POST", path: str | list[str] = "/v1/jobs",
             pace: float | None = None, body: str = '{"model":"bench","input":{"prompt":"a harbour at dawn","seed":7}}') -> dict[str, float]:  # fmt: skip
        """Load the API from another process, at its own pace or at so many requests a second. Returns rate, p50, p99 and longest in ms,
        processor time of its own for a request in ms, errors.
        """
        task = {
            "port": self.port, "keys": secrets, "clients": clients, "seconds": seconds, "method": method, "path": path,
            "body": body, "pace": pace,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load"],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, float] = json.loads(done.stdout)
        if found["errors"]:
            raise RuntimeError(f"{found['errors']} requests failed")
        return found


@contextmanager
def stand(more_settings: dict[str, str] | None = None) -> Iterator[Stand]:
    """The servers, for the time of a block."""
    for name in ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL"):
        os.environ.pop(name, None)
    # A 2 GB cache, as the findings had; fsync stays on.
    postgres_settings = {"shared_buffers": "2GB", "max_wal_size": "8GB", **(more_settings or {})}
    with scratch_folder(_disk()) as path, servers(path, postgres_settings=postgres_settings) as addresses:
        port = free_ports(1)[0]
        environment = {
            **addresses.environment(), "API_PORT": str(port), "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "RING_AGAIN_SECONDS": "600", "ENVIRONMENT": "test", "LOG_FORMAT": "json",  # as in production
        }  # fmt: skip
        os.environ.update(environment)
        settings.cache_clear()
        made = Stand(path, environment)
        try:
            yield made
        finally:
            made.stop()
            db.close()


def _disk() -> Path:
    """A folder on a real disk: /tmp may be memory, where fsync costs nothing."""
    local = Path(".headrace")
    local.mkdir(mode=0o700, exist_ok=True)
    return local.resolve()


def _entry(name: str, *, kind: str = "image", **options: Any) -> Entry:
    return Entry.model_validate(
        {
            "id": name, "name": name, "kind": kind, "input_schema": SCHEMA, "price": {"unit": "job", "credits": 1},
            "routes": [{"provider": "sketch", "model": "image", "options": {"instant": True, **options}}],
        }
    )  # fmt: skip


def memory_mb(pid: int, name: str = "VmHWM") -> float:
    """A process's peak (VmHWM) or present (VmRSS) memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no such process")


_ACCOUNTS = """
with n as (select g, ('00000000-0000-7000-8000-' || lpad(g::text, 12, '0'))::uuid as id from generate_series(1, %s) g),
u as (insert into users (id, issuer, subject) select id, 'bench', g::text from n),
a as (insert into accounts (id, user_id, plan_id, available, event_number) select id, id, 'bench', 1000000000, 0 from n),
g as (insert into grants (id, account_id, kind, ref, amount, remaining) select id, id, 'gift', 'bench', 1000000000, 1000000000 from n)
insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, grant_id, available_after, reserved_after)
select id, 'grant', 1000000000, 'issued', 'available', id, 1000000000, 0 from n
"""
