"""What is in the archive, as somebody with another program sees it; and months and jobs to be archived."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from uuid_utils.compat import uuid7

from common.settings import settings
from models.db import transaction
from models.events import deliveries, endpoints
from models.jobs.ending import AttemptEnd, Ending, NewAsset, end
from models.usage.entries import add_up
from scheduler.duties import archiving, results, retention
from storage import keys
from storage.s3 import storage
from tests.conftest import environment
from tests.models.hands import change, later
from tests.scheduler.duties.preparations import past_month
from tests.support import account, claimed, model, one, placed, rows

ON = {"ARCHIVE": "true"}
SECRET = "a heron that nobody else may read of"


def archive_keys(kind: str = "") -> list[str]:
    """The keys of what is in the archive."""
    return [each.key for each in storage().list_page(f"{settings().archive_prefix}{kind}", None, 1000)]


def emptied() -> None:
    """The bucket is one for all tests of a process."""
    storage().delete_many(archive_keys())


def bytes_of(key: str) -> bytes:
    with storage().get_range(key).chunks as chunks:
        return b"".join(chunks)


def table_of(key: str) -> Any:
    return pq.read_table(BytesIO(bytes_of(key)))


def archived_rows(kind: str) -> list[dict[str, Any]]:
    """All rows of a kind, of all its files."""
    return [row for key in archive_keys(f"{kind}/") for row in table_of(key).to_pylist()]


def old_month(count: int, months: int = 5) -> str:
    """A past month with so many events of one account. Returns its table's name."""
    name, who = past_month("events", months), account()
    change("update accounts set event_number = event_number + %s where id = %s", count, who)
    with transaction() as conn:
        conn.execute("update events set number = number + %s where account_id = %s", [count, who])
    for first in range(1, count + 1, 10_000):  # a statement has a few seconds, on a busy machine too
        with transaction() as conn:
            conn.execute(
                """insert into events (account_id, number, type, job_id, data, created_at)
                   select %s, n, 'job.succeeded', gen_random_uuid(), jsonb_build_object('credits', n, 'labels', '{"who": "Ada"}'::jsonb),
                          app_now() - make_interval(months => %s) from generate_series(%s::int, least(%s, %s)) n""",
                [who, months, first, first + 9_999, count],
            )
    return name


def detached() -> int:
    return retention.drop_partitions(1)


def archived_all() -> int:
    """Turns of the duty until there is nothing left to do."""
    return sum(iter(lambda: archiving.archive(1), 0))


def there(table: str) -> bool:
    return rows("select 1 from pg_class where relname = %s", table) != []


def ended_job(who: UUID) -> UUID:
    """A job that failed once and then succeeded with a picture, told to a webhook; what it says of itself is in all its rows."""
    job_id = placed(
        who, model(price={"credits": 3}), {"prompt": SECRET}, labels={"customer": SECRET},
        webhook=endpoints.for_job(who, f"https://example.com/{SECRET.replace(' ', '-')}", None),
    )  # fmt: skip
    claim = claimed(job_id)
    key = keys.result_key(who, job_id, 1, 0, b"0" * 32, "png")
    with transaction() as conn:
        attempt = AttemptEnd(1, "done", charged=True, cost_usd_micros=12, usage={"tokens_in": 5})
        asset = NewAsset(uuid7(), 0, key, "image/png", 6, b"0" * 32)
        end(conn, who, job_id, Ending("succeeded", cost_credits=3, assets=[asset], attempt=attempt), token=claim.token)
        conn.execute(
            "update deliveries set status = 'delivered', next_at = null, attempts = 1, delivered_at = app_now()"
        )
    return job_id


def settled() -> None:
    """Ended jobs are added up, and their results gone, so that they may be forgotten."""
    with later(24 * 30):
        while results.expire_results(100):
            pass
    change("update assets set purged_at = app_now() where status <> 'stored'")
    with transaction() as conn:
        while add_up(conn, 1000):
            pass


def forgotten() -> int:
    return sum(iter(lambda: retention.forget_jobs(10), 0))


def listed() -> list[tuple[Any, ...]]:
    return rows(
        "select kind, rows, bytes is not null from archived_files where archived_at is not null order by kind, opened_at"
    )


def is_detached(table: str) -> bool:
    return bool(one("select not relispartition from pg_class where relname = %s", table)[0])


def send_delivery(who: UUID, months: int) -> UUID:
    with transaction() as conn:
        made = deliveries.send(conn, who, uuid7(), "announcement", {"body": SECRET})
        conn.execute(
            "update deliveries set created_at = app_now() - make_interval(months => %s) where id = %s", [months, made]
        )
    return made


class KilledError(BaseException):
    """As a kill: nothing of ours catches it."""


def dies_at(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """The duty dies when it comes to this point."""

    def reached(name: str) -> None:
        if name == point:
            raise KilledError

    monkeypatch.setattr(archiving, "reached", reached)


@contextmanager
def archive_on() -> Iterator[None]:
    """For the time of a block there is an archive, with nothing in it, and its duties have their rows."""
    emptied()
    change("insert into duties (name, next_at) values ('archive', app_now()), ('forget_jobs', app_now())")
    with environment(ON):
        yield
        emptied()
