"""What operators do to workers, providers and deliveries."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from common.errors import ActRefused, EndpointDisabled, NotFound
from models.access.audit_log import By
from models.catalogue import providers
from models.catalogue.providers import ProviderEntry
from models.db import transaction
from models.events import endpoints
from models.fleet import processes
from models.operations import fleet_acts
from tests.models.hands import change
from tests.models.operations.test_finding import failed
from tests.support import account, model, placed, rows

pytestmark = pytest.mark.usefixtures("database")
BY = By("tester")


def do(verb: Any, *values: Any, **fields: Any) -> Any:
    with transaction() as conn:
        return verb(conn, BY, *values, **fields)


def test_a_worker_hears_that_it_is_to_be_drained_with_its_next_word() -> None:
    def report() -> bool:
        with transaction() as conn:
            return processes.report_worker(conn, "host:1:a", "batch", 2, 2, 0)

    assert report() is False
    for _ in range(2):
        do(fleet_acts.drain_worker, "host:1:a", "new machine")
    assert report() is True
    with pytest.raises(NotFound):
        do(fleet_acts.drain_worker, "nobody", "x")
    assert rows("select action, subject, details->>'reason' from acts") == [("worker.drain", "host:1:a", "new machine")]


def test_only_providers_of_the_catalogue_are_rested_and_it_is_written_down() -> None:
    with transaction() as conn:
        providers.apply(conn, [ProviderEntry(name="router", adapter="openai", base_url="http://127.0.0.1:1/v1")])
    do(fleet_acts.order_provider_act, "router", "provider.rest", "too slow", seconds=60)
    assert rows("select action, subject, details from acts") == [
        ("provider.rest", "provider:router", {"reason": "too slow", "seconds": 60})
    ]
    with pytest.raises(NotFound):
        do(fleet_acts.order_provider_act, "gone", "provider.rest", "x")
    with pytest.raises(ActRefused):
        do(fleet_acts.order_provider_act, "sketch", "provider.rest", "x")


@pytest.fixture
def sent() -> dict[str, UUID]:
    """A job whose events went to two endpoints and its own address, and arrived."""
    who = account(amount=9)
    with transaction() as conn:
        first, off = (endpoints.create(conn, who, f"https://example.com/{n}", [])[0].id for n in range(2))
    address = endpoints.for_job(who, "https://example.com/own", None)
    job = failed(placed(who, model(), webhook=address))
    placed(who, model())
    change("update deliveries set status = 'delivered', next_at = null, delivered_at = app_now()")
    change("update webhook_endpoints set enabled = false where id = %s", off)
    return {"who": who, "job": job, "first": first, "off": off}


def pending() -> list[tuple[Any, ...]]:
    return rows(
        "select job_id, endpoint_id, event_type from deliveries where status = 'pending' order by event_type, endpoint_id"
    )


def test_a_jobs_webhooks_are_sent_again_but_for_those_of_endpoints_that_are_off(sent: dict[str, UUID]) -> None:
    assert do(fleet_acts.replay_job, sent["job"], "they lost them") == 3
    assert pending() == [
        (sent["job"], sent["first"], "job.failed"), (sent["job"], None, "job.failed"), (sent["job"], sent["first"], "job.queued"),
    ]  # fmt: skip
    assert rows("select action, details->>'deliveries' from acts") == [("job.replay", "3")]
    with pytest.raises(NotFound):
        do(fleet_acts.replay_job, uuid4(), "x")


def test_an_accounts_webhooks_of_a_time_are_sent_again_to_one_of_its_endpoints(sent: dict[str, UUID]) -> None:
    since = datetime.now(UTC) - timedelta(hours=1)
    assert do(fleet_acts.replay_account, sent["who"], sent["first"], since, None, "x", all_=False) == 0
    assert do(fleet_acts.replay_account, sent["who"], sent["first"], since, None, "x", all_=True) == 3
    assert {row[1] for row in pending()} == {sent["first"]}
    with pytest.raises(EndpointDisabled):
        do(fleet_acts.replay_account, sent["who"], sent["off"], since, None, "x", all_=True)
    with pytest.raises(NotFound):
        do(fleet_acts.replay_account, account(), sent["first"], since, None, "x", all_=True)
    with pytest.raises(NotFound):
        do(fleet_acts.replay_account, uuid4(), None, since, None, "x", all_=True)
    assert rows("select details->>'count' from acts where action = 'deliveries.replay' order by id") == [("0",), ("3",)]
