"""The log of deliveries is read by index, however long it is."""

from uuid import UUID

import pytest

from models.db import transaction
from models.events import deliveries, endpoints
from tests.receivers import receivers
from tests.support import account

pytestmark = pytest.mark.usefixtures("database")


def many(who: UUID, endpoint_id: UUID, url: str) -> None:
    """Ten thousand deliveries that arrived, and before them one of each other kind, to an endpoint and for jobs."""
    with transaction() as conn:
        for column, value, queue in (
            ("endpoint_id", endpoint_id, endpoint_id),
            ("url", url, endpoints.job_queues(who)[3]),
        ):
            conn.execute(
                f"""insert into deliveries (id, queue_id, account_id, channel, {column}, event_type, data, event_at,
                                            status, next_at, created_at)
                    select gen_random_uuid(), %(queue)s, %(who)s, 'webhook', %(value)s, 'credits.granted', '{{}}', app_now(),
                           case n when 1 then 'failed' when 2 then 'disabled' when 3 then 'pending' else 'delivered' end,
                           case n when 3 then app_now() end, app_now() + n * interval '1 millisecond'
                      from generate_series(1, 10000) n""",
                {"queue": queue, "who": who, "value": value},
            )  # fmt: skip
        conn.execute("analyze deliveries")


@pytest.mark.parametrize("status", ["failed", "disabled", "pending"])
def test_the_few_that_did_not_arrive_are_found_without_reading_those_that_did(status: str) -> None:
    with receivers(1) as [there]:
        who = account()
        with transaction() as conn:
            endpoint_id = endpoints.create(conn, who, there.url, ())[0].id
        many(who, endpoint_id, there.url)
        for wanted in (endpoint_id, None):
            with transaction() as conn:
                before = read(conn)
                found = deliveries.list_deliveries(conn, who, wanted, status=status, limit=20)
                assert [each.status for each in found] == [status]
                assert read(conn) - before < 200


def read(conn: object) -> int:
    """Rows of deliveries that this transaction has fetched so far."""
    row = conn.execute(
        """select coalesce(sum(pg_stat_get_xact_tuples_fetched(c.oid) + pg_stat_get_xact_tuples_returned(c.oid)), 0)::int
             from pg_class c where c.relname like 'deliveries%'"""
    ).fetchone()
    return int(row[0])
