"""All that is stored of a job is in its story."""

from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from common.errors import NotFound
from models.access import audit_log
from models.access.audit_log import By
from models.db import snapshot, transaction
from models.events import endpoints
from models.jobs import callbacks
from models.jobs.ending import AttemptEnd, Ending, end
from models.operations.story import Story, files_named, story
from tests.files import picture
from tests.models.gallery.things import result
from tests.support import account, claimed, model, one, order, place, placed, uploaded


def told(job_id: UUID) -> Story:
    with snapshot() as conn:
        return story(conn, job_id)


pytestmark = pytest.mark.usefixtures("database")


def test_a_failed_jobs_story_has_its_attempts_credits_events_deliveries_files_and_acts() -> None:
    who, other = account(amount=9, plan="studio"), account(amount=9)
    with transaction() as conn:
        hook = endpoints.create(conn, who, "https://example.com/hook", [])[0].id
        endpoints.create(conn, other, "https://example.com/other", [])
    file = uploaded(who, [picture()])
    theirs = uploaded(other, [picture(size=(65, 64))])
    address = endpoints.for_job(who, "https://example.com/own", None)
    job = placed(who, model(price={"credits": 3}), labels={"customer": "acme"}, webhook=address)
    stranger = placed(other, model(price={"credits": 3}))
    with transaction() as conn:
        named = {"prompt": "x", "images": [f"file_{file.id.hex}", f"file_{theirs.id.hex}"]}
        conn.execute("update jobs set input = %s where id = %s", [Jsonb(named), job])
    living = told(job)
    assert living.run is not None
    assert (living.run.status, living.run.dispatched, living.job.ended) == ("queued", True, None)
    claim = claimed(job)
    with transaction() as conn:
        callbacks.store(conn, job, 1, {}, b"{}")
        attempt = AttemptEnd(1, "failed", "http_500", "their words", charged=False, cost_usd_micros=12)
        assert end(
            conn,
            who,
            job,
            Ending("failed", error_code="http_500", error_message="their words", attempt=attempt),
            token=claim.token,
        )
        audit_log.record(conn, By("tester"), "job.look", str(job), reason="why")
    with transaction() as conn:
        again = place(order(who, model(price={"credits": 3}), retry_of=job))[0]
    found = told(job)
    assert (found.run, found.job.ended, found.job.account_id, found.job.labels) == (
        None,
        "failed",
        who,
        {"customer": "acme"},
    )
    assert [
        (a.number, a.provider, a.error_code, a.error_message, a.cost_usd_micros, a.calls_back) for a in found.attempts
    ] == [(1, "sketch", "http_500", "their words", 12, 1)]
    assert [(e.kind, e.amount) for e in found.entries] == [("reserve", 3), ("refund", 3)]
    assert [(g.kind, g.held, g.settled) for g in found.grants] == [("gift", 3, 0)]
    assert [e.type for e in found.events] == ["job.queued", "job.failed"]
    assert sorted((d.event_type, d.endpoint_id, d.url) for d in found.deliveries if d.endpoint_id) == [
        ("job.failed", hook, None), ("job.queued", hook, None),
    ]  # fmt: skip
    assert [(d.event_type, d.url) for d in found.deliveries if d.endpoint_id is None] == [
        ("job.failed", "https://example.com/own")
    ]
    assert [f.id for f in found.inputs] == [file.id]
    assert [(a.action, a.details) for a in found.acts] == [("job.look", {"reason": "why"})]
    assert found.retries == [again.job_id]
    assert told(again.job_id).job.retry_of == job
    assert {d.endpoint_id for d in told(stranger).deliveries} & {hook, None} == set()


def test_a_results_objects_are_told_and_nothing_is_told_of_no_job() -> None:
    who = account(amount=9, plan="studio")
    result(who, "a harbour")
    job = one("select job_id from assets")[0]
    assert [each.status for each in told(job).results] == ["stored"]
    with pytest.raises(NotFound):
        told(uuid4())


def test_uploads_are_found_wherever_an_input_names_them() -> None:
    first, two = uuid4(), uuid4()
    given = {"a": [f"file_{first.hex}", 3, None], "b": {"c": f"see file_{two.hex}."}, "d": "file_xyz"}
    assert files_named(given) == [first, two]
