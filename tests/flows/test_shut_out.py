"""Who is banned, deleted or made less is out within five seconds: keys, tokens, open streams and what opens streams."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import httpx
import pytest

from common.errors import NotAuthenticated
from models.access import api_keys
from models.access.audit_log import By
from models.access.scopes import SCOPES
from models.accounts import accounts
from models.catalogue import provider_keys, providers
from models.catalogue.providers import ProviderEntry
from models.db import transaction
from models.identity import clerk
from tests.api.auth.issuer import Issuer
from tests.listening import Listening
from tests.support import System, account, eventually, model, one, rows

SECONDS = 5
STREAM = {"accept": "text/event-stream"}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as found:
        yield found


def told(issuer: Issuer, kind: str, **data: Any) -> None:
    """What Clerk tells of the user."""
    event = {"type": kind, "data": {"id": "user_1", "updated_at": 5_000, **data}}
    with transaction() as conn:
        clerk.receive(conn, f"msg_{kind}_{data.get('banned')}", event, issuer=issuer.url)


def demoted(_issuer: Issuer) -> None:
    with transaction() as conn:
        accounts.change_role(conn, By("tester"), one("select id from users")[0], "user")


ENDS = {
    "banned": lambda issuer: told(issuer, "user.updated", banned=True),
    "deleted": lambda issuer: told(issuer, "user.deleted"),
    "demoted": demoted,
}


def status(url: str, secret: str, path: str = "/v1/credits") -> int:
    return httpx.get(f"{url}{path}", headers={"authorization": f"Bearer {secret}"}).status_code


def opened(url: str, token: str) -> int:
    with httpx.stream("GET", f"{url}/v1/events", params={"token": token}, headers=STREAM) as answer:
        return answer.status_code


def save_provider_key(who: UUID) -> None:
    with transaction() as conn:
        provider_keys.save(conn, who, "router", provider_keys.SecretStr("sk-of-the-user"))


@pytest.mark.parametrize("how", ENDS)
def test_whoever_is_shut_out_is_out_everywhere_within_five_seconds(system: System, issuer: Issuer, how: str) -> None:
    system.start(
        "api", api={"OIDC_ISSUERS": issuer.url, "STREAM_TOKEN_SECONDS": "60", "FAILED_AUTH_PER_MINUTE": "9999"}
    )
    url, jwt = system.url, issuer.token("user_1")
    assert status(url, jwt) == 200
    who = one("select id from accounts")[0]
    with transaction() as conn:
        conn.execute("update users set role = 'admin'")
        secret = api_keys.create(conn, who, api_keys.NewKey("boss", scopes=SCOPES))[1]
        providers.apply(conn, [ProviderEntry(name="router", adapter="openai", base_url="http://127.0.0.1:1/v1")])
    save_provider_key(who)
    eventually(lambda: status(url, jwt, "/v1/admin/users") == 200, what="the new role")
    heads = [{"authorization": f"Bearer {each}"} for each in (secret, jwt)]
    tokens = [httpx.post(f"{url}/v1/events/token", headers=each).json()["token"] for each in heads]
    assert [opened(url, each) for each in tokens] == [200, 200]
    with ExitStack() as stack:
        heard = [Listening(f"{url}/v1/events", each, again=False, silence=30) for each in heads]
        heard += [Listening(f"{url}/v1/events?token={each}", {}, again=False, silence=30) for each in tokens]
        for each in heard:
            stack.enter_context(each)
        eventually(lambda: all(each.frames for each in heard), what="the streams")
        ENDS[how](issuer)
        begun = time.monotonic()
        eventually(lambda: all(each.over.is_set() for each in heard), seconds=SECONDS, what="the end of the streams")
        print(f"{how}: all streams had ended after {time.monotonic() - begun:.1f} s")
        assert [opened(url, each) for each in tokens] == [401, 401]
        gone = {401} if how != "demoted" else {401, 403}
        path = "/v1/credits" if how != "demoted" else "/v1/admin/users"
        left = SECONDS - (time.monotonic() - begun)
        eventually(
            lambda: {status(url, each, path) for each in (secret, jwt)} <= gone, seconds=left, what="the refusal"
        )
    if how == "demoted":  # a person goes on as what they are now
        assert (status(url, secret), status(url, jwt)) == (401, 200)
    else:
        assert rows("select 1 from provider_keys") == []
        with pytest.raises(NotAuthenticated):  # an API process that still knows the user
            save_provider_key(who)


def test_what_a_revoked_key_has_made_is_out_with_it_streams_included(system: System) -> None:
    system.start("api")
    who = account()
    with transaction() as conn:
        parent, secret = api_keys.create(conn, who, api_keys.NewKey("parent"))
    head = {"authorization": f"Bearer {secret}"}
    child = httpx.post(f"{system.url}/v1/keys", json={"name": "child"}, headers=head).json()["secret"]
    with Listening(f"{system.url}/v1/events", {"authorization": f"Bearer {child}"}, again=False, silence=30) as heard:
        eventually(lambda: bool(heard.frames), what="the stream")
        with transaction() as conn:
            api_keys.revoke(conn, parent)
        assert heard.over.wait(SECONDS), "the stream outlives the key that made its own"
    eventually(lambda: status(system.url, child) == 401, seconds=SECONDS, what="the refusal")


def test_who_waits_for_a_job_and_is_shut_out_meanwhile_learns_no_more_of_it(system: System) -> None:
    model("never")
    system.start("api")
    who = account(amount=5)
    with system.client(who) as http:
        job = http.post("/v1/jobs", json={"model": "never", "input": {}}).json()["id"]
        assert http.get(f"/v1/jobs/{job}").json()["status"] == "queued"
        begun = time.monotonic()
        with transaction() as conn:
            conn.execute("update users set banned = true")
        answer = http.get(f"/v1/jobs/{job}", headers={"prefer": "wait=25"})
        assert time.monotonic() - begun < SECONDS
        assert answer.status_code == 401 or answer.json()["status"] == "queued"


def test_a_key_that_may_only_order_may_wait_for_what_it_orders(system: System) -> None:
    model("never")
    system.start("api")
    with transaction() as conn:
        secret = api_keys.create(conn, account(amount=5), api_keys.NewKey("orders", scopes=["generate"]))[1]
    head = {"authorization": f"Bearer {secret}", "prefer": "wait=5"}
    begun = time.monotonic()
    answer = httpx.post(f"{system.url}/v1/jobs", json={"model": "never", "input": {}}, headers=head, timeout=30)
    assert (answer.status_code, answer.headers["preference-applied"]) == (201, "wait=5")
    assert time.monotonic() - begun > 4.5
