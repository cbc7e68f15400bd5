"""Clerk's webhooks: who may send them, and that their order and number do not matter."""

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook
from starlette.testclient import TestClient
from uuid_utils.compat import uuid7

from api.main import make_app
from common.errors import ResultGone
from common.settings import Settings
from models.accounts import accounts
from models.db import transaction
from models.files import uploads
from models.files.results import find_result
from models.files.uploads import NewUpload
from models.identity import clerk
from models.jobs import ending
from models.jobs.ending import AttemptEnd, Ending, NewAsset
from scheduler.duties import results
from scheduler.duties.accounts import clear_deleted
from tests.conftest import environment
from tests.depth import examples
from tests.support import assert_books_are_clean, claimed, key_of, model, one, placed, rows

pytestmark = [
    # Starlette's test client still uses what AnyIO and httpx are about to rename.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ISSUER = "https://clerk.example"


@pytest.fixture
def configured(database: str) -> Iterator[None]:
    values = {"OIDC_ISSUERS": f"{ISSUER},https://second.example", "CLERK_WEBHOOK_SECRET": SECRET}
    with environment({**values, "KEY_CACHE_SECONDS": "0"}):
        yield


@pytest.fixture
def http(configured: None) -> Iterator[TestClient]:
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def user(
    subject: str = "user_1", *, at: int = 1000, email: str | None = "a@example.com", **more: Any
) -> dict[str, Any]:
    addresses = [{"id": "other", "email_address": "old@example.com"}]
    if email:
        addresses.append({"id": "idn_1", "email_address": email})
    return {
        "id": subject, "object": "user", "primary_email_address_id": "idn_1" if email else None, "banned": False,
        "email_addresses": addresses, "first_name": "Ada", "last_name": "L", "created_at": 1, "updated_at": at, **more,
    }  # fmt: skip


def event(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"data": data, "object": "event", "type": kind, "timestamp": 1700000000000, "instance_id": "ins_1"}


def gone(subject: str = "user_1") -> dict[str, Any]:
    return event("user.deleted", {"id": subject, "object": "user", "deleted": True})


def signed(body: str, event_id: str = "msg_1", *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    when = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    signature = Webhook(secret).sign(event_id, when, body)
    return {"svix-id": event_id, "svix-timestamp": str(int(when.timestamp())), "svix-signature": signature}


def send(http: TestClient, what: dict[str, Any], event_id: str = "msg_1") -> int:
    body = json.dumps(what)
    return http.post("/hooks/clerk", content=body, headers=signed(body, event_id)).status_code


def receive(what: dict[str, Any], event_id: str | None = None) -> None:
    with transaction() as conn:
        clerk.receive(conn, event_id or str(uuid7()), what, issuer=ISSUER)


def people() -> list[tuple[Any, ...]]:
    """All that is kept of people, without what names only the moment."""
    return rows(
        """select u.issuer, u.subject, u.email, u.first_name, u.last_name, u.banned, u.updated_at_provider,
                  u.deleted_at is not null, a.plan_id, a.available,
                  (select array_agg((g.kind, g.ref, g.amount, g.remaining)::text) from grants g where g.account_id = a.id),
                  (select count(*) from ledger_entries l where l.account_id = a.id)
             from users u join accounts a on a.user_id = u.id order by u.subject"""
    )


# --- who may send ---


def test_a_new_user_gets_an_account_and_the_event_is_kept(http) -> None:
    assert send(http, event("user.created", user())) == 200
    assert one("select issuer, subject, email, first_name, last_name from users") == (
        ISSUER, "user_1", "a@example.com", "Ada", "L",
    )  # fmt: skip
    assert one("select source, event_id, type, processed_at is not null from inbound_events") == (
        "clerk", "msg_1", "user.created", True,
    )  # fmt: skip
    assert rows("select kind, amount from grants") == [("signup", 10)]
    assert send(http, event("user.created", user())) == 200
    assert one("select count(*) from inbound_events") == (1,)
    assert_books_are_clean()


BODY = json.dumps(event("user.created", user()))


@pytest.mark.parametrize(("headers", "why"), [
    ({}, "missing"),
    (signed(BODY, secret=OTHER), "no signature fits"),
    (signed(BODY + " "), "no signature fits"),
    ({**signed(BODY), "svix-id": "msg_2"}, "no signature fits"),
    ({**signed(BODY), "svix-timestamp": str(int(time.time()) - 7)}, "no signature fits"),
    ({**signed(BODY), "svix-timestamp": "soon"}, "no number"),
    ({**signed(BODY), "svix-timestamp": "-1"}, "no number"),
    ({**signed(BODY), "svix-signature": ""}, "no signature fits"),
    ({**signed(BODY), "svix-signature": "v1,"}, "no signature fits"),
    ({**signed(BODY), "svix-signature": "v1,ä"}, "no signature fits"),
    ({**signed(BODY), "svix-signature": signed(BODY)["svix-signature"].replace("v1,", "v1a,")}, "no signature fits"),
    ({**signed(BODY), "svix-signature": " ".join(["v1,eA=="] * 11)}, "too long"),
    ({**signed(BODY), "svix-id": "x" * 300}, "too long"),
    (signed(BODY, at=time.time() - 3600), "more than 300 s"),
    (signed(BODY, at=time.time() + 3600), "more than 300 s"),
])  # fmt: skip
def test_what_is_not_signed_by_clerk_just_now_is_refused(http, headers, why) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = http.post("/hooks/clerk", content=BODY, headers=raw)
    assert answer.status_code == 401, answer.text
    assert answer.json()["code"] == "bad_signature"
    assert why in answer.json()["detail"]
    assert rows("select 1 from users union all select 1 from inbound_events") == []


def test_during_a_rotation_one_of_several_signatures_is_enough(http) -> None:
    head = signed(BODY)
    ours = head["svix-signature"]
    theirs = signed(BODY, secret=OTHER)["svix-signature"]
    for signatures in (f"{theirs} {ours}", f"{ours} v1a,xyz", f"v2,abc {ours}"):
        answer = http.post("/hooks/clerk", content=BODY, headers={**head, "svix-signature": signatures})
        assert answer.status_code == 200


def test_a_body_that_is_too_large_is_413(http) -> None:
    body = json.dumps(event("user.created", user(padding="x" * 263_000)))
    assert http.post("/hooks/clerk", content=body, headers=signed(body)).status_code == 413
    assert http.post("/hooks/clerk", content=iter([body.encode()]), headers=signed(body)).status_code == 413


@pytest.mark.parametrize("body", ["[]", "{", '"x"', "", "[" * 5000])
def test_a_signed_body_that_is_no_event_is_400(http, body) -> None:
    assert http.post("/hooks/clerk", content=body, headers=signed(body)).status_code == 400


@pytest.mark.parametrize("what", [
    event("session.created", {"id": "sess_1"}), event("user.created", {}), event("user.deleted", {"id": 5}), {},
    {"type": 5, "data": []}, event("user.merged", user()),
])  # fmt: skip
def test_an_event_that_we_do_not_know_is_stored_and_does_nothing(http, what) -> None:
    assert send(http, what) == 200
    assert one("select processed_at from inbound_events") == (None,)
    assert rows("select 1 from users") == []


@pytest.mark.parametrize("data", [
    user(email=None), user(email_addresses=None), user(email_addresses=[None, {"id": None}, "x"]),
    user(primary_email_address_id=None), user(first_name=5, last_name=None, updated_at=None),
    user(updated_at=10**30), user(updated_at=-5), user(updated_at="x"), user(first_name="nul\x00\\u0000", banned="yes"),
])  # fmt: skip
def test_a_user_with_odd_or_missing_fields_is_taken_as_far_as_they_go(http, data) -> None:
    assert send(http, event("user.updated", data)) == 200
    assert one("select subject, banned from users") == ("user_1", False)


def test_without_a_secret_the_address_says_that_it_is_not_set_up(database) -> None:
    with TestClient(make_app()) as http:
        answer = http.post("/hooks/clerk", content=BODY, headers=signed(BODY))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_configured")
        assert "CLERK_WEBHOOK_SECRET" in answer.json()["detail"]


def test_a_secret_that_cannot_be_one_is_refused_at_start_and_a_good_one_is_not_shown(monkeypatch) -> None:
    for wrong in ("sk_live_abc", "whsec_", "whsec_%%%%", "whsec_c2hvcnQ="):
        monkeypatch.setenv("CLERK_WEBHOOK_SECRET", wrong)
        with pytest.raises(ValueError, match="CLERK_WEBHOOK_SECRET must be"):
            Settings(_env_file=None)
    monkeypatch.setenv("CLERK_WEBHOOK_SECRET", SECRET)
    assert SECRET[8:] not in repr(Settings(_env_file=None))


# --- order and number ---

EVENTS = st.lists(
    st.builds(
        lambda kind, subject, at, email, banned: (
            gone(subject) if kind == "user.deleted" else event(kind, user(subject, at=at, email=email, banned=banned))
        ),
        st.sampled_from(["user.created", "user.updated", "user.updated", "user.updated", "user.deleted"]),
        st.sampled_from(["user_1", "user_2"]),
        st.integers(1, 4),
        st.sampled_from([None, "a@example.com", "b@example.com"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


def empty() -> None:
    """Another database would cost 100 ms per example; only tests may disarm the ledger's guard."""
    with transaction() as conn:
        conn.execute("set local session_replication_role = replica")
        for table in ("inbound_events", "ledger_entries", "grants", "events", "accounts", "users"):
            conn.execute(f"delete from {table}")


def in_order(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As Clerk meant them: deletions last, profiles by time."""
    return sorted(events, key=lambda each: (each["type"] == "user.deleted", each["data"].get("updated_at", 0)))


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, seed=st.integers())
def test_shuffled_and_repeated_events_end_like_ordered_ones(configured, events, seed) -> None:
    numbered = [(f"msg_{n}", each) for n, each in enumerate(in_order(events))]
    for event_id, each in numbered:
        receive(each, event_id)
    meant = people()
    empty()
    shuffled = numbered + [each for each in numbered if random.Random(seed).random() < 0.5]
    random.Random(seed).shuffle(shuffled)
    for event_id, each in shuffled:
        receive(each, event_id)
    assert people() == meant
    assert one("select count(*) from inbound_events where processed_at is not null") == (len(numbered),)
    assert_books_are_clean()
    empty()


@pytest.mark.parametrize("first", ["token", "event"])
def test_a_user_who_came_by_token_and_by_event_is_one_user_with_one_grant(configured, first) -> None:
    def by_token() -> None:
        with transaction() as conn:
            accounts.open_account(conn, issuer=ISSUER, subject="user_1", default_plan="free")

    steps = [by_token, lambda: receive(event("user.created", user()))]
    for step in steps if first == "token" else reversed(steps):
        step()
    assert rows("select subject, email from users") == [("user_1", "a@example.com")]
    assert one("select count(*) from grants") == (1,)


def test_the_same_event_delivered_by_many_at_once_acts_once(configured) -> None:
    whats = [event("user.created", user()), event("user.updated", user(at=2000, email="b@example.com")), gone()]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: receive(whats[n % 3], f"msg_{n % 3}"), range(24)))
    assert one("select count(*), count(processed_at) from inbound_events") == (3, 3)
    assert one("select count(*) from grants") == (1,)
    assert one("select deleted_at is not null, email from users") == (True, None)


# --- deletion ---


def account_of(subject: str = "user_1") -> Any:
    return one("select a.id from accounts a join users u on u.id = a.user_id where u.subject = %s", subject)[0]


def with_result(who: Any) -> Any:
    """A job that succeeded, with one result."""
    job_id = placed(who, model())
    claim = claimed(job_id)
    asset = NewAsset(uuid7(), 0, f"results/{job_id}/0.txt", "text/plain", 6, b"0" * 32)
    with transaction() as conn:
        ending.end(conn, who, job_id, Ending("succeeded", cost_credits=1, assets=[asset]), token=claim.token)
    return asset.id


@pytest.mark.parametrize("policy", ["expire", "keep"])
def test_deletion_cancels_jobs_revokes_keys_expires_results_by_policy_and_keeps_the_ledger(http, policy) -> None:
    assert send(http, event("user.created", user()), "msg_0") == 200
    who = account_of()
    secret = {"authorization": f"Bearer {key_of(who)}"}
    assert http.get("/v1/credits", headers=secret).status_code == 200
    asset_id = with_result(who)
    with transaction() as conn:
        uploads.create(conn, NewUpload(uuid7(), who, "uploads/x", "text/plain", 5, b"1" * 32, None, None, None))
    slow = model("slow")
    jobs = [placed(who, slow) for _ in range(5)]  # two have the plan's slots, three wait
    before = rows("select id, kind, amount from ledger_entries order by id")
    with environment({"ON_USER_DELETED": policy}):
        assert send(http, gone(), "msg_9") == 200
    assert http.get("/v1/credits", headers=secret).status_code == 401
    assert rows("select distinct ended from jobs where id = any(%s)", jobs) == [("canceled",)]
    assert one("select count(*) from job_runs") == (0,)
    with transaction() as conn:
        if policy == "keep":
            assert find_result(conn, asset_id).size_bytes == 6
        else:
            with pytest.raises(ResultGone):
                find_result(conn, asset_id)
    with transaction() as conn:
        assert uploads.expire(conn, 100).done == (0 if policy == "keep" else 1)
    assert results.expire_results(100) == (0 if policy == "keep" else 1)
    assert rows("select id, kind, amount from ledger_entries order by id")[: len(before)] == before
    assert one("select available, reserved, slots_in_use from accounts") == (9, 0, 0)
    assert one("select email, first_name, last_name from users") == (None, None, None)
    assert rows("select distinct payload::text from inbound_events") == [("{}",)]
    assert send(http, event("user.updated", user(at=9_000)), "msg_late") == 200
    assert one("select email, deleted_at is not null from users") == (None, True)
    assert rows("select distinct payload::text from inbound_events") == [("{}",)]
    assert_books_are_clean()


def test_a_running_job_is_asked_to_cancel_and_the_user_has_left_once_it_ended(configured) -> None:
    receive(event("user.created", user()))
    who = account_of()
    job_id = placed(who, model())
    claim = claimed(job_id)
    receive(gone())
    assert one("select cancel_requested_at is not null from job_runs") == (True,)
    late = placed(who, model())  # an API process that still knew the user has taken one more order
    with transaction() as conn:
        conn.execute("update users set deleted_at = deleted_at - interval '2 minutes'")
    assert clear_deleted(10) == 0  # the first job is still alive
    assert one("select ended from jobs where id = %s", late) == ("canceled",)
    done = Ending("succeeded", cost_credits=1, attempt=AttemptEnd(1, "done", charged=True))
    with transaction() as conn:
        ending.end(conn, who, job_id, done, token=claim.token)
    assert one("select ended from jobs where id = %s", job_id) == ("canceled",)
    assert clear_deleted(10) == 1
    assert_books_are_clean()


def test_the_duty_finishes_a_deletion_that_was_too_much_for_one_transaction(configured, monkeypatch) -> None:
    monkeypatch.setattr("models.identity.erasure.MAX_JOBS", 3)
    receive(event("user.created", user()))
    who, offer = account_of(), model()
    for _ in range(8):
        placed(who, offer)
    receive(gone())
    assert one("select count(*) from job_runs") == (5,)
    assert clear_deleted(10) == 0
    assert clear_deleted(10) == 0
    assert one("select count(*) from job_runs") == (0,)
    with transaction() as conn:
        conn.execute("update users set deleted_at = deleted_at - interval '2 minutes'")
    assert clear_deleted(10) == 1
    assert clear_deleted(10) == 0
    assert one("select erased_at is not null from users") == (True,)
    assert_books_are_clean()
