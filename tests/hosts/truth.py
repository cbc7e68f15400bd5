"""What must hold when all is over, whatever happened."""

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from models.credits.audit import audit
from models.db import transaction
from models.jobs import callbacks
from storage.s3 import StorageError, storage
from tests.hosts.house import House, books
from tests.hosts.load import Load
from tests.support import one, rows

DRAIN_SECONDS = 120.0
GHOST_SECONDS = 40.0  # models.connecting: a look after 10 s, and three of 5 s each
# Replicate cannot be asked about a start whose answer was lost, and the call back that tells of it may be lost as well.
UNKNOWN = ("called-back", "outcome_unknown")


def drain() -> list[str]:
    """Wait until no job lives any more. Returns what still does."""
    end = time.monotonic() + DRAIN_SECONDS
    while (left := one("select count(*) from job_runs")[0]) and time.monotonic() < end:
        time.sleep(0.2)
    if not left:
        return []
    return [
        f"stuck: {row}"
        for row in rows("select job_id::text, status, reason, wake_at, lease_until from job_runs limit 5")
    ]


class Ended(NamedTuple):
    """A job as our own books have it; `attempt` is its last attempt's error."""

    kind: str
    how: str | None
    attempt: str | None
    code: str | None
    message: str | None

    @property
    def is_unknown(self) -> bool:
        """It failed because nobody could say what became of its order."""
        return self.kind == UNKNOWN[0] and UNKNOWN[1] in {self.attempt, self.code}


def ended_jobs() -> dict[str, Ended]:
    """All jobs, by their ids."""
    return {
        row[0]: Ended(*row[1:])
        for row in rows(
            """select j.id::text, j.model_id, j.ended,
                      (select a.error_code from attempts a where a.job_id = j.id order by number desc limit 1),
                      j.error_code, j.error_message from jobs j"""
        )
    }


def broken(house: House, load: Load) -> list[str]:
    """Each promise that is broken, in words."""
    found = [f"refused: {each}" for each in load.refused]
    jobs, accepted = ended_jobs(), {each.job_id for each in load.accepted}
    found += [f"accepted and not there: {each}" for each in accepted - set(jobs)]
    if twice := len(load.accepted) - len(accepted):
        found.append(f"{twice} orders got another's job")
    found += [f"{job}: {each}" for job, each in jobs.items() if each.how != "succeeded" and not each.is_unknown]
    found += _paid(jobs, ordered(house))
    found += _stored()
    found += ghosts(house)
    with transaction() as conn:
        found += [f"{each.rule}: {row}" for each in audit(conn) for row in each.rows]
    return found


def ordered(house: House) -> Counter[str]:
    """How many generations of each job the provider has begun, by its own books."""
    http, replicate = books(house.folder)
    keys = [each["key"].rpartition(":")[0] for each in http.generations()]
    hooks = [each["facts"]["webhook"].rpartition("/")[2] for each in replicate.generations()]
    http.close()
    return Counter([*keys, *(str(callbacks.attempt_of(each)[0]) for each in hooks)])


def ghosts(house: House) -> list[str]:
    """Sessions of the database whose other end is gone: a host's connections before its power cut. They go when the server
    has looked for them.
    """
    end = time.monotonic() + GHOST_SECONDS
    while (found := _ghosts(house)) and time.monotonic() < end:
        time.sleep(1)
    return [f"a session of the database is nobody's any more: {each}" for each in sorted(found)]


def _ghosts(house: House) -> set[str]:
    sessions = {f"{address}:{port}" for address, port in rows(
        "select host(client_addr), client_port from pg_stat_activity where client_port > 0"
    )}  # fmt: skip
    return sessions - {socket for host in house.network.hosts.values() for socket in host.sockets()}


def _paid(jobs: Mapping[str, Ended], orders: Mapping[str, int]) -> list[str]:
    found = [f"the provider was paid {count} times for {job}" for job, count in orders.items() if count > 1]
    found += [f"the provider was paid for {job}, which is no job" for job in orders if job not in jobs]
    return found + [
        f"{job} succeeded and was never ordered"
        for job, each in jobs.items()
        if each.how == "succeeded" and job not in orders
    ]


def _stored() -> list[str]:
    """Each result is there, with its own bytes."""
    found = []
    for key, digest in rows("select key, sha256 from assets where purged_at is null"):
        try:
            with storage().get_range(key).chunks as chunks:
                if hashlib.sha256(b"".join(chunks)).digest() != bytes(digest):
                    found.append(f"{key} has other bytes")
        except StorageError as error:
            found.append(f"{key} is missing: {error}")
    return found


def outcomes(house: House) -> dict[str, int]:
    """How many jobs ended how; of those that failed, whether the provider had begun them."""
    orders = ordered(house)
    count = Counter(
        f"{each.kind} {each.how}" + ("" if each.how == "succeeded" else ", begun" if job in orders else ", never begun")
        for job, each in ended_jobs().items()
    )
    return dict(sorted(count.items()))
