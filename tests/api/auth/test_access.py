"""Every route of the OpenAPI document, as everybody who may not call it."""

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from api.main import OPEN_ROUTES, PUBLIC, make_app, needs_of
from cli.embedded.servers import Addresses
from common.redis_client import redis_client
from models.access import api_keys, browser_tokens
from models.access.browser_tokens import NewToken
from models.access.scopes import NEEDED_ROLE, SCOPES
from models.credits import holds, label_limits
from models.credits.hold_rows import NewHold
from models.db import transaction
from models.events import deliveries, endpoints
from models.files.uploads import id_text
from models.gallery import links, members
from models.jobs import batches
from models.jobs.batches import Line
from models.playground import sessions
from models.playground.sessions import NewSession
from models.schema.tables import metadata
from tests.conftest import environment, fresh_database
from tests.models.gallery.things import collection, result, somebody
from tests.models.payments.shop import ordered, pack
from tests.support import account, caller, model, one, order, placed, rows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NEEDS = [(path, method, need) for path, method, need in needs_of(make_app())]
# Pages ask for a session, and lead who has none to their sign-in: tests/api/console/test_signing.py, tests/api/account/test_coming_in.py.
GUARDED = [each for each in NEEDS if each[2] != PUBLIC and not each[0].startswith(("/console", "/account"))]
# What tells a stranger that somebody else's thing is there: any of these words in an answer would.
SECRET_PROMPT = "a secret picture of a lighthouse"


@pytest.fixture(scope="module")
def http(stack: Addresses) -> Iterator[TestClient]:
    """One system for all: what is refused changes nothing, as each of them sees for itself."""
    with redis_client(stack.redis_url, timeout_seconds=15) as client:
        client.flushall()
    with fresh_database(stack), environment({"FAILED_AUTH_PER_MINUTE": "100000"}):
        model("one")
        model("two")
        with TestClient(make_app(), raise_server_exceptions=False) as api:
            yield api


def secret_of(who: Any, **fields: Any) -> str:
    with transaction() as conn:
        return api_keys.create(conn, who, api_keys.NewKey("test", **fields))[1]


def filled(path: str, things: dict[str, Any]) -> str:
    return re.sub(
        r"\{(\w+)(:path)?\}", lambda found: str(things.get(found[1], 0 if found[1] == "index" else uuid.uuid4())), path
    )


def call(http: TestClient, path: str, method: str, key: str | None, things: dict[str, Any]) -> Any:
    head = {"authorization": f"Bearer {key}"} if key else {}
    body = {"post": {}, "put": {}, "patch": {}}.get(method)
    return http.request(method, filled(path, things), headers=head, **({"json": body} if body is not None else {}))


def one_of_everything() -> dict[str, Any]:
    """The ids of the things of a new account, which has one of everything."""
    who = account(amount=9)
    job = placed(who, model())
    with transaction() as conn:
        conn.execute(
            "update jobs set input = jsonb_build_object('prompt', %s::text) where id = %s", [SECRET_PROMPT, job]
        )
        key_id, _ = api_keys.create(conn, who, api_keys.NewKey("the owner's own key"))
        token = browser_tokens.give_out(conn, caller(who), NewToken(["generate"], credits=1))[0].id
        user = conn.execute("select user_id from accounts where id = %s", [who]).fetchone()
        hook = endpoints.create(conn, who, "https://owner.example/hook", [])[0].id
        delivery = deliveries.send(conn, who, hook, "test", {}, endpoint_id=hook)
        hold = holds.create(conn, caller(who), NewHold(2, 3600)).id
        label_limits.set_limit(conn, who, "customer", SECRET_PROMPT, 5)
        session, _ = sessions.create(conn, who, job, SECRET_PROMPT, NewSession())
        note, file = uuid.uuid4(), uuid.uuid4()
        conn.execute(
            """insert into notifications (id, account_id, event_number, kind, title, body, data)
               values (%s, %s, 999, 'announcement', %s, '', '{}')""",
            [note, who, SECRET_PROMPT],
        )
        conn.execute(
            """insert into uploads (id, account_id, key, media_type, size_bytes, sha256, expires_at)
               values (%s, %s, %s, 'image/png', 5, %s, app_now() + interval '1 day')""",
            [file, who, f"uploads/{file}", b"x" * 32],
        )
    assert user is not None
    return {
        "account": who, "account_id": who, "job_id": job, "key_id": key_id, "token_id": token, "user_id": user[0], "provider": "router",
        "webhook_id": hook, "delivery_id": delivery, "notification_id": note, "file_id": id_text(file),
        "payment_id": ordered(who, pack()), "hold_id": hold, "session_id": session, **gallery_of(who), "batch_id": batch_of(who),
    }  # fmt: skip


def batch_of(who: uuid.UUID) -> uuid.UUID:
    """A batch of one order, with a name of its client's own."""
    asked = [Line(1, SECRET_PROMPT, order(who, model()))]
    with transaction() as conn:
        return batches.place(conn, who, asked, all_or_none=True).row.id


def gallery_of(who: uuid.UUID) -> dict[str, Any]:
    """A private collection of an account, with an item, a link and a collaborator."""
    item, me = result(who, SECRET_PROMPT), f"me-{who}@example.com"
    with transaction() as conn:
        conn.execute("update accounts set plan_id = 'enterprise' where id = %s", [who])
        conn.execute(
            "update users set email = %s where id = (select user_id from accounts where id = %s)",
            [me, who],
        )
    made = collection(who, item, name=SECRET_PROMPT)
    theirs = collection(somebody(f"host-{who}@example.com"), name=SECRET_PROMPT)
    with transaction() as conn:
        link = links.create(conn, who, made.id)[0].id
        member = members.invite(conn, who, made.id, "friend@example.com", "viewer").id
        invitation = members.invite(conn, theirs.account_id, theirs.id, me, "editor").id
    return {
        "item_id": item, "collection_id": made.id, "link_id": link, "member_id": member, "invitation_id": invitation,
    }  # fmt: skip


@pytest.fixture(scope="module")
def theirs(http: TestClient) -> dict[str, Any]:
    """What another tenant looks for."""
    return one_of_everything()


class Asked(NamedTuple):
    """An account with one of everything, and keys of it: those that are good for nothing, and by scope those without it."""

    things: dict[str, Any]
    revoked: str
    expired: str
    without: dict[str, list[str]]


@pytest.fixture(scope="module")
def asked(http: TestClient) -> Asked:
    """What those ask for who may not: another account, because a key that is refused is one that was used."""
    things = one_of_everything()
    owner = things["account"]
    revoked, expired = secret_of(owner), secret_of(owner, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    with transaction() as conn:
        conn.execute("update api_keys set revoked_at = app_now() where hash = %s", [api_keys.hash_of(revoked)])
    without = {
        need: [
            secret_of(owner, scopes=missing)
            for missing in (set(SCOPES) - {need}, {next(scope for scope in SCOPES if scope != need)})
        ]
        for need in SCOPES
    }
    return Asked(things, revoked, expired, without)


TABLES = {
    "accounts": "id",
    **{name: "account_id" for name, table in metadata.tables.items() if "account_id" in table.columns},
}
EVERYTHING = " union all ".join(
    f"select '{name}', to_jsonb(t)::text from {name} t where {column} = %(who)s" for name, column in TABLES.items()
)


def everything_of(who: uuid.UUID) -> list[Any]:
    """All rows that are this account's, in every table that has accounts."""
    with transaction() as conn:
        return sorted(conn.execute(EVERYTHING, {"who": who}).fetchall())


def test_every_route_says_what_it_needs_and_the_open_ones_are_known() -> None:
    assert {path for path, _, need in NEEDS if need == PUBLIC} == set(OPEN_ROUTES)
    assert {need for _, _, need in GUARDED} <= set(SCOPES)


@pytest.mark.parametrize(("path", "method", "need"), GUARDED)
def test_nobody_gets_in_and_learns_nothing(http: TestClient, asked: Asked, path: str, method: str, need: str) -> None:
    things, wrong = asked.things, api_keys.make_secret()
    for key in (None, asked.revoked, asked.expired, wrong, "nonsense", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."):
        answer = call(http, path, method, key, things)
        assert answer.status_code == 401, (key, answer.text)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert_tells_nothing(answer.text, things)
    for key in asked.without[need]:
        answer = call(http, path, method, key, things)
        assert answer.status_code == 403, answer.text
        assert need in answer.text if path.startswith("/compat/") else answer.json()["needed"] == need
    assert nothing_changed(things)


# What a route wants of a body before it looks for what its path names.
BODIES: dict[str, dict[str, Any]] = {
    "post /v1/webhooks/{webhook_id}/redeliver": {"since": "2026-01-01T00:00:00Z"},
    "post /v1/holds/{hold_id}/settle": {"amount": 1}, "post /v1/holds/{hold_id}/extend": {"seconds": 60},
    "post /v1/lessons/{lesson_id}/attempts": {"answers": {}},
    **{f"post /v1/collections/{{collection_id}}/items{act}": {"items": [str(uuid.uuid4())]} for act in ("", "/remove", "/order")},
    "post /v1/collections/{collection_id}/members": {"email": "a@example.com"},
    "patch /v1/collections/{collection_id}/members/{member_id}": {"role": "editor"},
}  # fmt: skip


def as_stranger(how: str) -> dict[str, str]:
    """Headers of another tenant: by a key of its own, or by a server that acts for it."""
    stranger = account(amount=9)
    if how == "own key":
        return {"authorization": f"Bearer {secret_of(stranger, scopes=SCOPES)}"}
    boss = account()
    with transaction() as conn:
        conn.execute("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", [boss])
    return {"authorization": f"Bearer {secret_of(boss, scopes=SCOPES)}", "headrace-account": str(stranger)}


@pytest.mark.parametrize("how", ["own key", "acted for"])
@pytest.mark.parametrize(("path", "method", "need"), GUARDED)
def test_another_tenant_finds_nothing_of_it(
    http: TestClient, theirs: dict[str, Any], path: str, method: str, need: str, how: str
) -> None:
    head, before = as_stranger(how), everything_of(theirs["account"])

    def ask(things: dict[str, Any]) -> Any:
        body = BODIES.get(f"{method} {path}", {}) if method in {"post", "put", "patch"} else None
        return http.request(method, filled(path, things), headers=head, json=body)

    answer = ask(theirs)
    if need in NEEDED_ROLE:
        assert answer.status_code == 403  # the scope alone makes no admin and no editor, and nobody acts as one
    elif how == "acted for" and path.startswith("/v1/keys/") and method == "post":
        assert answer.status_code == 403  # it makes no keys for anybody
    elif "{" in path:
        assert answer.status_code == 404 or "{provider}" in path, answer.text
        assert answer.status_code == ask({"provider": theirs["provider"]}).status_code
    else:
        assert answer.status_code < 500
    assert_tells_nothing(answer.text, theirs)
    assert everything_of(theirs["account"]) == before


def assert_tells_nothing(text: str, theirs: dict[str, Any]) -> None:
    assert SECRET_PROMPT not in text
    assert "the owner's own key" not in text
    assert str(theirs["account"]) not in text


def nothing_changed(theirs: dict[str, Any]) -> bool:
    return (
        one("select ended, live_id is not null from jobs where id = %s", theirs["job_id"]) == (None, True)
        and rows("select 1 from job_runs where cancel_requested_at is not null") == []
        and one("select revoked_at, expires_at from api_keys where id = %s", theirs["key_id"]) == (None, None)
        and one("select role from users where id = %s", theirs["user_id"]) == ("user",)
        and one("select revoked_at from browser_tokens where id = %s", theirs["token_id"]) == (None,)
        and rows("select 1 from acts where subject = any(%s)", [str(theirs["key_id"]), str(theirs["token_id"])]) == []
    )
