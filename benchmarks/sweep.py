"""Expire 100,000 results: rows per second in SQL, then batch deletes in S3 beside single ones."""

import time

import psycopg

from benchmarks.filling import fill
from benchmarks.stand import Report, Stand
from common.settings import settings
from models.db import transaction
from models.files import results
from storage.s3 import storage

ROWS = 100_000
OBJECTS = 3000


def measure(stand: Stand, report: Report) -> None:
    """In the batches of the duty."""
    stand.fresh()
    fill(ROWS)
    with psycopg.connect(settings().database_url) as conn:
        conn.execute(
            "update accounts a set storage_bytes = (select coalesce(sum(size_bytes), 0) from assets where account_id = a.id)"
        )
        conn.execute("update assets set expires_at = app_now() - interval '1 minute'")
    with psycopg.connect(settings().database_url, autocommit=True) as conn:
        conn.execute("vacuum analyze assets")
    begin, done = time.perf_counter(), 0
    while True:
        with transaction() as conn:
            batch = results.expire(conn, 5000).done
        if batch == 0:
            break
        done += batch
    assert done == ROWS
    report.add(
        "sweep of 100,000 expired results, in SQL", ROWS / (time.perf_counter() - begin), "rows/s", aim="100,000"
    )
    keys = [f"bench/{number}" for number in range(OBJECTS)]
    for key in keys:
        storage().put_bytes(key, b"x", "text/plain")
    begin = time.perf_counter()
    assert storage().delete_many(keys[300:]) == {}
    batched = (OBJECTS - 300) / (time.perf_counter() - begin)
    begin = time.perf_counter()
    for key in keys[:300]:
        storage().delete_many([key])
    single = 300 / (time.perf_counter() - begin)
    report.add(
        "objects deleted from S3 in batches",
        batched,
        "1/s",
        ratio=batched / single,
        to=f"one by one {single:,.0f}",
        aim="",
    )
