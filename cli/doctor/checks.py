"""The checks of `headrace doctor`. Each returns what there is to say, and raises RuntimeError that says what is wrong and
what helps.
"""

from typing import Any

from cli.doctor.broker_check import check_broker
from cli.doctor.redis_check import check_redis
from cli.doctor.trust import distrust
from cli.troubles import sentence_of
from common import scratch
from common.redact import redacted
from common.settings import settings
from models import db
from models.connecting import Linked
from models.credits.audit import stuck
from models.db import transaction
from models.events import events, sending
from models.fleet import probes, processes, replicas
from storage.s3 import StorageError, storage
from workers.calls.standing import provider_rows

FAR_BEHIND_BYTES = 64 * 1024 * 1024  # four files of log


def examine() -> list[dict[str, Any]]:
    """Every check with what it found: {check, ok, says}."""
    checks = [_check("database", check_database)]
    is_away = not checks[0]["ok"]
    for name, function in _CHECKS.items():
        if is_away and name not in _WITHOUT_DATABASE:  # each would wait for it anew
            checks.append({"check": name, "ok": False, "says": "not known without the database"})
        else:
            checks.append(_check(name, function))
    return checks


def _check(name: str, function: Any) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "says": function()}
    except Exception as error:  # noqa: BLE001 - whatever is wrong is what this command is for
        return {"check": name, "ok": False, "says": _said_of(name, error)}


def _said_of(name: str, error: Exception) -> str:
    return redacted(distrust(name, error) or "") or sentence_of(error) or redacted(f"{error}") or type(error).__name__


def check_database() -> str:
    db.reach()
    with transaction() as conn:
        server = probes.server(conn)
    if server.is_standby or server.is_read_only:
        raise RuntimeError(
            f"it takes no writes ({'a standby' if server.is_standby else 'read-only'}): see DATABASE_URL"
        )
    if not server.waits_for_commits:
        raise RuntimeError(
            "synchronous_commit is off: a server that is killed loses jobs that were accepted and credits that were "
            "bought; set it to on (or local, remote_write, remote_apply) in postgresql.conf, and for this role and database"
        )
    with transaction() as conn:
        probes.probe(conn)
        pooled = isinstance(conn, Linked) and conn.behind_pooler
    way = ", behind a pooler: settings go with each transaction, no statement is prepared" if pooled else ""
    unsafe = f"; {server.power_cut_loses} off: a power cut loses what was accepted" if server.power_cut_loses else ""
    return f"{server.version.split(',')[0]}, a row was written{way}{unsafe}"


def check_replica() -> str:
    found = replicas.follow()
    if found is None:
        return "none is set: the primary is read"
    if not found.is_replica:
        raise RuntimeError(
            "it is a primary, and is not read: set DATABASE_REPLICA_URL to a server that follows DATABASE_URL's"
        )
    if found.bytes_behind > FAR_BEHIND_BYTES:
        raise RuntimeError(
            f"it is {found.bytes_behind // 1_000_000} MB behind, and the primary is read: is its replay paused, or its line slow?"
        )
    return f"it follows, {found.bytes_behind} bytes behind"


def check_schema() -> str:
    from models.schema.functions import described  # noqa: PLC0415 - Alembic is loaded only where it is used
    from models.schema.migrations import differences, revisions  # noqa: PLC0415 - Alembic is loaded only where it is used

    found = differences()
    if found:
        raise RuntimeError(described(found))
    revision, newest = revisions()
    if revision != newest:
        raise RuntimeError(f"the database is at migration {revision}, this release at {newest}: run `headrace migrate`")
    return f"up to date, at {revision}"


def check_partitions() -> str:
    with transaction() as conn:
        ahead = events.partitions_ahead(conn)
    if ahead <= 1:
        raise RuntimeError(f"only {ahead} month of events has its partition: is a scheduler running?")
    return f"{ahead} months ahead"


def check_storage() -> str:
    try:
        notes = storage().check()
    except StorageError as error:
        raise RuntimeError(f"{error}: check S3_ENDPOINT_URL, S3_BUCKET and the credentials") from None
    return "; these credentials may not ".join([f"put, read and deleted a probe in {settings().s3_bucket}", *notes])


def check_temporary() -> str:
    try:
        free = scratch.check(settings().max_upload_bytes)
    except OSError as error:
        raise RuntimeError(
            f"{scratch.place()}: {error.strerror or error}; make room, or set TMPDIR to another folder"
        ) from None
    return f"{free // 1_000_000} MB are free in {scratch.place()}"


def check_workers() -> str:
    with transaction() as conn:
        workers = processes.workers(conn)
    alive = [worker for worker in workers if worker["silent_seconds"] < settings().lease_seconds]
    if not alive:
        raise RuntimeError("no worker has been heard of: start `python -m workers`")
    maimed = [
        worker["id"] for worker in alive if worker["threads_alive"] < worker["threads"] and not worker["drained_at"]
    ]
    if maimed:
        raise RuntimeError(f"worker {maimed[0]} has lost threads: restart it")
    return f"{len(alive)} processes, {sum(worker['threads_alive'] for worker in alive)} threads"


def check_duties() -> str:
    with transaction() as conn:
        duties = processes.duties(conn)
    if not duties:
        raise RuntimeError("no duty was ever done: start `python -m scheduler`")
    wrong = [duty for duty in duties if duty["error"] or duty["overdue_seconds"] > 120]
    if wrong:
        duty = wrong[0]
        raise RuntimeError(f"duty {duty['name']}: {duty['error'] or 'overdue, is a scheduler running?'}")
    return f"{len(duties)} duties in time"


def check_providers() -> str:
    rows = provider_rows()
    resting = [row for row in rows if row["resting_seconds"] > 0]
    if resting:
        row = resting[0]
        raise RuntimeError(f"{row['provider']} keeps failing and is rested for {row['resting_seconds']:.0f} s more")
    return f"none of {len(rows)} is resting" if rows else "not known while redis is away"


def check_stuck() -> str:
    with transaction() as conn:
        jobs = stuck(conn)
    if jobs:
        raise RuntimeError(f"job {jobs[0]['job_id']} and {len(jobs) - 1} more are due, and nothing moves them")
    return "none"


def check_deliveries() -> str:
    with transaction() as conn:
        late, seconds = sending.overdue(conn)
    if seconds > 60:
        raise RuntimeError(
            f"{late} receivers are due, one for {seconds:.0f} s: is `python -m workers.deliver` running?"
        )
    return f"{late} receivers are due" if late else "none are due"


_WITHOUT_DATABASE = {"redis", "broker", "storage", "temporary folder"}
_CHECKS = {
    "replica": check_replica,
    "schema": check_schema,
    "partitions": check_partitions,
    "redis": check_redis,
    "broker": check_broker,
    "storage": check_storage,
    "temporary folder": check_temporary,
    "workers": check_workers,
    "duties": check_duties,
    "providers": check_providers,
    "stuck jobs": check_stuck,
    "deliveries": check_deliveries,
}
