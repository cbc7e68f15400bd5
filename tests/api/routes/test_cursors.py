"""No list, check or limit is skipped past its page. Generated: from the document, every list is walked with a page and one
more row; from the code, every query with a limit says what becomes of the rest; and every route by an id answers the same
however many newer things there are.
"""

import ast
import base64
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from uuid_utils.compat import uuid7

from api.live.hub import PAGE
from api.main import PUBLIC, make_app, needs_of
from api.routes.cursors import MAX_LIMIT, SIGNATURE_BYTES, Listing
from api.services import services
from api.v1.admin import ACTS, ANNOUNCEMENTS, USERS
from api.v1.admin_bulk import BULK_RUNS
from api.v1.admin_jobs import ALL_JOBS
from api.v1.admin_payments import ALL_PAYMENTS
from api.v1.admin_promotions import PROMOTIONS
from api.v1.batches import BATCHES
from api.v1.collection_sharing import INVITATIONS, LINKS, MEMBERS
from api.v1.collections import COLLECTIONS, CONTENTS
from api.v1.content import ARTICLES, FOUND
from api.v1.content_desk import DESK, REVISIONS
from api.v1.courses import COURSES
from api.v1.credits import ENTRIES, GRANTS
from api.v1.events import EVENTS
from api.v1.files import FILES
from api.v1.holds import HOLDS
from api.v1.images import FEED, SEARCHES
from api.v1.images import LISTS as ITEM_LISTS
from api.v1.keys import KEYS
from api.v1.label_limits import LABEL_LIMITS
from api.v1.learning import ENROLMENTS, QUIZ_ATTEMPTS
from api.v1.models import MODELS
from api.v1.notifications import NOTIFICATIONS
from api.v1.payments import PAYMENTS
from api.v1.plans import PACKS, PLANS
from api.v1.playground import SESSIONS
from api.v1.provider_keys import PROVIDER_KEYS
from api.v1.snapshots import JOBS
from api.v1.summaries import SUMMARIES
from api.v1.tokens import TOKENS
from api.v1.webhooks import DELIVERIES, WEBHOOKS
from models.access import api_keys, audit_log, browser_tokens
from models.access.audit_log import By
from models.access.browser_tokens import NewToken
from models.access.scopes import SCOPES
from models.catalogue import provider_keys, providers
from models.catalogue.providers import ProviderEntry
from models.content import articles
from models.credits import holds, label_limits, ledger
from models.credits.hold_rows import NewHold
from models.credits.reads import GrantPlace
from models.db import transaction
from models.events import endpoints
from models.playground import kept, sessions
from models.playground.sessions import NewSession
from tests import documents
from tests.conftest import environment
from tests.models.access.test_minting import plant_revoked
from tests.models.content.desk import BY, shown, written
from tests.models.credits.test_ledger import finish
from tests.models.gallery.things import collection, indexed, result
from tests.models.learning.school import course
from tests.support import account, caller, model, one, order, place, placed, rows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = documents.openapi()


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    values = {"FAILED_AUTH_PER_MINUTE": "100000", "WEBHOOK_ENDPOINTS_MAX": "200"}
    with environment(values), TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


# --- every list of the document ---


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return resolved(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return schema


def several(path: str) -> bool:
    """Whether a route answers several things: there is a list of things in its answer."""
    content = DOCUMENT["paths"][path].get("get", {}).get("responses", {}).get("200", {}).get("content", {})
    schema = resolved(content.get("application/json", {}).get("schema", {}))
    fields = [schema, *map(resolved, schema.get("properties", {}).values())]
    return any(each.get("type") == "array" and resolved(each["items"]).get("type") == "object" for each in fields)


# One thing, and what it consists of.
ONE_THING = {
    "/v1/jobs/{job_id}": "its results, as many as were ordered, which the catalogue bounds",
    "/v1/storage": "sums, one for each of five kinds, and the ten largest files",
    "/v1/usage": "sums of groups, at most 10,000, and more are refused",
    "/v1/admin/usage": "the same",
    "/v1/courses/{course_id}": "its modules and lessons, of which there are few (models/learning/tables.py)",
    "/v1/courses/{course_id}/progress": "the same",
    "/v1/lessons/{lesson_id}/quiz": "its questions, 50 at most",
    "/v1/lessons/{lesson_id}/quiz/key": "the same",
    "/v1/lessons/{lesson_id}/attempts/{attempt_id}": "the same",
    "/v1/content/articles/{slug}": "its citations, at most a hundred",
    "/v1/content/desk/articles/{article_id}": "the same",
    "/v1/content/desk/articles/{article_id}/revisions/{number}": "the same",
    "/v1/admin/queues": "two queues, and the twenty accounts with the longest lines",
    "/v1/admin/pauses": "a hundred at most, and more are refused",
    "/v1/admin/providers": "those of the catalogue, which are few",
    "/v1/admin/workers": "processes, a thousand at most",
    "/v1/admin/jobs/{job_id}": "one job's story; of what may be many, the first two hundred",
    "/v1/admin/stats": "figures: a row a plan, a kind of article, and a day, currency and company of at most 400 days",
}
LISTS = [path for path in DOCUMENT["paths"] if several(path) and path not in ONE_THING]


class World:
    """An account that is an operator's, and its key."""

    def __init__(self) -> None:
        self.who = account(amount=1000, plan="studio")
        with transaction() as conn:
            conn.execute(
                "update users set role = 'admin' where id = (select user_id from accounts where id = %s)", [self.who]
            )
            self.key_id, self.secret = api_keys.create(conn, self.who, api_keys.NewKey("asks", scopes=SCOPES))
        self.head = {"authorization": f"Bearer {self.secret}"}

    def insert(self, statement: str, count: int, *more: Any) -> None:
        with transaction() as conn:
            conn.execute(statement, [self.who, [uuid7() for _ in range(count)], *more])


def jobs(world: World, count: int) -> None:
    offer = model("one")
    place(*(order(world.who, offer) for _ in range(count)))


def batched(world: World, count: int) -> None:
    world.insert(
        "insert into batches (account_id, id, orders, accepted, let_go) select %s, id, 1, 1, 1 from unnest(%s::uuid[]) as x(id)",
        count,
    )


def grants(world: World, count: int) -> None:
    with transaction() as conn:
        for number in range(count):
            ledger.grant(conn, world.who, kind="gift", amount=1, ref=f"planted {number}")


def held(world: World, count: int) -> None:
    with transaction() as conn:
        for _ in range(count):
            holds.create(conn, caller(world.who), NewHold(1, 3600))


def limits(world: World, count: int) -> None:
    with transaction() as conn:
        for number in range(count):
            label_limits.set_limit(conn, world.who, "customer", f"number {number}", 5)


def saved(world: World, count: int) -> None:
    jobs(world, count)
    with transaction() as conn:
        for (job_id,) in rows("select id from jobs"):
            sessions.create(conn, world.who, job_id, "a prompt", NewSession())


def summarised(world: World, count: int) -> None:
    jobs(world, count)
    with transaction() as conn:
        kept.want(conn, [job_id for (job_id,) in rows("select id from jobs")])
        conn.execute(
            """insert into summaries (id, kind, ordered_by, paragraph_job)
               select id, 'article', gen_random_uuid(), id from jobs"""
        )


def files(world: World, count: int) -> None:
    world.insert(
        """insert into uploads (account_id, id, key, media_type, size_bytes, sha256, expires_at)
           select %s, id, id::text, 'image/png', 1, sha256(id::text::bytea), app_now() + interval '1 day'
             from unnest(%s::uuid[]) as x(id)""",
        count,
    )
    with transaction() as conn:
        conn.execute("update accounts set storage_bytes = storage_bytes + %s where id = %s", [count, world.who])


def notifications(world: World, count: int) -> None:
    world.insert(
        """insert into notifications (account_id, id, event_number, kind, title, body, data)
           select %s, id, 1, 'announcement', 'a', 'b', '{}' from unnest(%s::uuid[]) as x(id)""",
        count,
    )


def hooks(world: World, count: int) -> None:
    with transaction() as conn:
        for number in range(count):
            endpoints.create(conn, world.who, f"https://example.com/{number}", [])


def deliveries(world: World, count: int) -> None:
    hooks(world, 1)
    hook = one("select id from webhook_endpoints where account_id = %s limit 1", world.who)[0]
    with transaction() as conn:
        conn.execute(
            """insert into deliveries (account_id, id, queue_id, channel, endpoint_id, event_type, event_at, data, status)
               select %s, id, %s, 'webhook', %s, 'job.queued', app_now(), '{}', 'failed' from unnest(%s::uuid[]) as x(id)""",
            [world.who, hook, hook, [uuid7() for _ in range(count)]],
        )


def events(world: World, count: int) -> None:
    with transaction() as conn:
        conn.execute(
            """with a as (update accounts set event_number = event_number + %s where id = %s returning id, event_number)
               insert into events (account_id, number, type, data)
               select a.id, a.event_number - %s + n, 'credits.granted', '{}' from a, generate_series(1, %s) as n""",
            [count, world.who, count, count],
        )


def revoked_keys(world: World, count: int) -> None:
    plant_revoked(world.who, count)


def own_tokens(world: World, count: int) -> None:
    with transaction() as conn:
        for _ in range(count):
            browser_tokens.give_out(conn, caller(world.who), NewToken(["generate"], credits=1))


def own_keys(world: World, count: int) -> None:
    with transaction() as conn:
        names = [f"router-{number}" for number in range(count)]
        providers.apply(
            conn, [ProviderEntry(name=n, adapter="openai", base_url="http://127.0.0.1:1/v1") for n in names]
        )
        for name in names:
            provider_keys.save(conn, world.who, name, provider_keys.SecretStr("sk-of-the-user"))


def models(_world: World, count: int) -> None:
    for number in range(count):
        model(f"model-{number}")


def plans(_world: World, count: int) -> None:
    with transaction() as conn:
        columns = [
            row[0]
            for row in conn.execute(
                "select column_name from information_schema.columns where table_name = 'plans' and column_name <> 'id'"
            )
        ]
        names = ", ".join(columns)
        conn.execute(
            f"insert into plans (id, {names}) select 'plan-' || n, {names} from plans, generate_series(1, %s) n where id = 'free'",
            [count],
        )


def packs(_world: World, count: int) -> None:
    with transaction() as conn:
        conn.execute(
            """insert into packs (id, name, position, credits, prices)
               select 'pack-' || n, 'Some', n / 3, 10, '{"USD": "1.00"}' from generate_series(1, %s) n""",
            [count],
        )


def users(_world: World, count: int) -> None:
    for _ in range(count):
        account()


def announced(world: World, count: int) -> None:
    world.insert(
        """insert into announcements (title, body, id) select %s::text, 'b', id from unnest(%s::uuid[]) as x(id)""",
        count,
    )


def acted(_world: World, count: int) -> None:
    with transaction() as conn:
        for number in range(count):
            audit_log.record(conn, By("tester"), "planted", str(number))


def bulk_runs(_world: World, count: int) -> None:
    with transaction() as conn:
        conn.execute(
            """insert into bulk_runs (id, act, filter, reason, actor, place, jobs, credits)
               select id, 'retry', '{}', 'x', 'x', id, 0, 0 from unnest(%s::uuid[]) as x(id)""",
            [[uuid7() for _ in range(count)]],
        )


def paid(world: World, count: int) -> None:
    world.insert(
        """insert into payments (account_id, id, company, purpose, item, credits, price, currency, expires_at)
           select %s, id, 'manual', 'pack', 'small', 1, 1, 'USD', app_now() from unnest(%s::uuid[]) as x(id)""",
        count,
    )


def promoted(_world: World, count: int) -> None:
    with transaction() as conn:
        conn.execute(
            "insert into promotions (code, credits) select 'CODE-' || n, 1 from generate_series(1, %s) n", [count]
        )


def taught(_world: World, count: int) -> None:
    with transaction() as conn:
        conn.execute(
            """insert into courses (id, slug, title, description, level, status)
               select id, id::text, 'x', '', 'basic', 'published' from unnest(%s::uuid[]) as x(id)""",
            [[uuid7() for _ in range(count)]],
        )


def enrolled(world: World, count: int) -> None:
    taught(world, count)
    world.insert(
        """insert into enrolments (account_id, id, course_id)
           select %s, x.id, c.id from unnest(%s::uuid[]) with ordinality as x(id, n)
             join (select id, row_number() over () as n from courses) c using (n)""",
        count,
    )


def tried(world: World, count: int) -> None:
    _, (lesson,) = course(1)
    world.insert(
        f"""insert into quiz_attempts (account_id, id, lesson_id, score, passed, answers)
           select %s, id, '{lesson}', 0, false, '[]' from unnest(%s::uuid[]) as x(id)""",
        count,
    )


def shelved(_world: World, count: int) -> None:
    for number in range(count):
        shown(f"Planted {number}", "Planted.")


def revised(_world: World, count: int) -> None:
    row = written()
    with transaction() as conn:
        for number in range(count):
            articles.change_article(
                conn, BY, row.created_by, row.id, number + 1, lambda was, body=f"{number}": was._replace(body=body)
            )


def items_of(media: str) -> Callable[[World, int], None]:
    def plant(world: World, count: int) -> None:
        result(world.who, "a harbour", media=media, count=count)
        indexed()

    return plant


def published(world: World, count: int) -> None:
    items_of("image/png")(world, count)
    with transaction() as conn:
        conn.execute("update gallery_items set public = true, published_at = app_now()")


def collected(world: World, count: int) -> None:
    items_of("image/png")(world, count)
    made = collection(world.who)
    with transaction() as conn:
        conn.execute(
            """insert into collection_items (collection_id, item_id, position, added_by)
               select %s, id, 7, account_id from gallery_items""",
            [made.id],
        )


def collections(world: World, count: int) -> None:
    world.insert(
        "insert into collections (account_id, id, name) select %s, id, 'Dawns' from unnest(%s::uuid[]) as x(id)", count
    )


def linked(world: World, count: int) -> None:
    made = collection(world.who)
    with transaction() as conn:
        conn.execute(
            "insert into share_links (collection_id, id, hash) select %s, id, sha256(id::text::bytea) from unnest(%s::uuid[]) as x(id)",
            [made.id, [uuid7() for _ in range(count)]],
        )


def invited(world: World, count: int) -> None:
    made = collection(world.who)
    with transaction() as conn:
        conn.execute(
            """insert into collection_members (collection_id, id, email, role)
               select %s, id, id || '@example.com', 'viewer' from unnest(%s::uuid[]) as x(id)""",
            [made.id, [uuid7() for _ in range(count)]],
        )


def inviting(world: World, count: int) -> None:
    host = account(plan="enterprise")
    with transaction() as conn:
        conn.execute(
            "update users set email = 'me@example.com' where id = (select user_id from accounts where id = %s)",
            [world.who],
        )
        conn.execute(
            """with c as (insert into collections (account_id, id, name) select %s, id, 'x' from unnest(%s::uuid[]) as x(id) returning id)
               insert into collection_members (collection_id, id, email, role) select id, id, 'me@example.com', 'viewer' from c""",
            [host, [uuid7() for _ in range(count)]],
        )


# path: how to plant rows, and how many rows there are in all.
PLANTS: dict[str, tuple[Callable[[World, int], None], str]] = {
    "/v1/jobs": (jobs, "jobs"),
    "/v1/batches": (batched, "batches"),
    "/v1/holds": (held, "holds"),
    "/v1/labels/limits": (limits, "label_limits"),
    "/v1/playground/sessions": (saved, "playground_sessions"),
    "/v1/summaries": (summarised, "summaries"),
    "/v1/credits/grants": (grants, "grants"),
    "/v1/credits/entries": (grants, "ledger_entries where account_id = '{who}'"),
    "/v1/files": (files, "uploads"),
    "/v1/notifications": (notifications, "notifications"),
    "/v1/webhooks": (hooks, "webhook_endpoints"),
    "/v1/webhooks/{webhook_id}/deliveries": (deliveries, "deliveries"),
    "/v1/events": (events, "events where account_id = '{who}'"),
    "/v1/keys": (revoked_keys, "api_keys"),
    "/v1/tokens": (own_tokens, "browser_tokens"),
    "/v1/provider-keys": (own_keys, "provider_keys"),
    "/v1/models": (models, "models where current"),
    "/v1/plans": (plans, "plans"),
    "/v1/packs": (packs, "packs"),
    "/v1/admin/users": (users, "users"),
    "/v1/admin/announcements": (announced, "announcements"),
    "/v1/admin/acts": (acted, "acts"),
    "/v1/admin/jobs": (jobs, "jobs"),
    "/v1/admin/bulk-runs": (bulk_runs, "bulk_runs"),
    "/v1/payments": (paid, "payments"),
    "/v1/admin/payments": (paid, "payments"),
    "/v1/admin/promotions": (promoted, "promotions"),
    "/v1/courses": (taught, "courses"),
    "/v1/enrolments": (enrolled, "enrolments"),
    "/v1/lessons/{lesson_id}/attempts": (tried, "quiz_attempts"),
    "/v1/content/articles": (shelved, "articles"),
    "/v1/content/search": (shelved, "articles"),
    "/v1/content/desk/articles": (shelved, "articles"),
    "/v1/content/desk/articles/{article_id}/revisions": (revised, "article_revisions"),
    "/v1/images": (items_of("image/png"), "assets"),
    "/v1/videos": (items_of("video/mp4"), "assets"),
    "/v1/sounds": (items_of("audio/mpeg"), "assets"),
    "/v1/search/images": (items_of("image/png"), "assets"),
    "/v1/search/videos": (items_of("video/mp4"), "assets"),
    "/v1/search/sounds": (items_of("audio/mpeg"), "assets"),
    "/v1/feed": (published, "assets"),
    "/v1/collections": (collections, "collections"),
    "/v1/collections/{collection_id}/items": (collected, "collection_items"),
    "/v1/collections/{collection_id}/links": (linked, "share_links"),
    "/v1/collections/{collection_id}/members": (invited, "collection_members"),
    "/v1/invitations": (inviting, "collection_members"),
}
ITS_OWN = ("id", "number", "provider", "code", "value")  # what a row is known by


def test_every_list_of_the_document_is_walked_here() -> None:
    assert set(LISTS) == set(PLANTS)


@pytest.mark.parametrize("path", LISTS)
def test_every_list_has_the_one_shape(path: str) -> None:
    operation = DOCUMENT["paths"][path]["get"]
    shape = resolved(operation["responses"]["200"]["content"]["application/json"]["schema"])
    assert sorted(shape["properties"]) == sorted(shape["required"]) == ["data", "next"]
    assert shape["properties"]["next"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    parameters = {each["name"]: each for each in operation["parameters"]}
    limit = parameters["limit"]["schema"]
    assert (limit["type"], limit["minimum"], limit["maximum"]) == ("integer", 1, MAX_LIMIT)
    assert parameters["cursor"]["schema"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert not {name for name in parameters if "before" in name or "cursor" in name} - {"cursor"}


ASKED = {"/v1/content/search": {"q": "planted"}}  # what a list cannot be asked for without


def address_of(path: str) -> str:
    if "lesson_id" in path:
        thing = rows("select id from lessons limit 1")
    else:
        thing = rows(
            "select id from webhook_endpoints union all select id from articles union all select id from collections limit 1"
        )
    return re.sub(r"\{\w+\}", str(thing[0][0]) if thing else "default", path)


def wanted_by(path: str) -> dict[str, str]:
    """What a list wants to be told before it is one."""
    return ASKED.get(path, {"q": "harbour"} if path.startswith("/v1/search/") else {})


def planted(http: TestClient, path: str, count: int) -> World:
    world = World()
    PLANTS[path][0](world, count)
    if path == "/v1/models":
        services(http.app).catalogue.load()
    return world


def pages(http: TestClient, world: World, path: str, limit: int | None) -> Iterator[dict[str, Any]]:
    """Every page of a list."""
    asked: dict[str, Any] = {**wanted_by(path)} if limit is None else {**wanted_by(path), "limit": limit}
    for _ in range(100):
        answer = http.get(address_of(path), headers=world.head, params=asked)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert sorted(body) == ["data", "next"]
        yield body
        if body["next"] is None:
            return
        asked["cursor"] = body["next"]
    raise AssertionError("it has no end")


def known_by(row: dict[str, Any]) -> str:
    return str(next(row[name] for name in ITS_OWN if name in row))


@pytest.mark.parametrize("path", LISTS)
def test_every_row_of_a_list_is_found_once_though_there_is_one_more_than_the_largest_page(
    http: TestClient, path: str
) -> None:
    world = planted(http, path, MAX_LIMIT + 1)
    count = one(f"select count(*) from {PLANTS[path][1].format(who=world.who)}")[0]
    whole = [known_by(row) for page in pages(http, world, path, MAX_LIMIT) for row in page["data"]]
    assert len(whole) == len(set(whole)) == count, "a row is shown twice, or never"
    for limit in (7, None):
        walked = list(pages(http, world, path, limit))
        assert [known_by(row) for page in walked for row in page["data"]] == whole
        assert {len(page["data"]) for page in walked[:-1]} <= {limit or len(walked[0]["data"])}
        assert len(walked[-1]["data"]) > 0


@pytest.mark.parametrize("path", LISTS)
def test_a_last_page_that_is_full_is_known_to_be_the_last(http: TestClient, path: str) -> None:
    world = planted(http, path, 3)
    count = one(f"select count(*) from {PLANTS[path][1].format(who=world.who)}")[0]
    first = http.get(address_of(path), headers=world.head, params={**wanted_by(path), "limit": count}).json()
    assert (len(first["data"]), first["next"]) == (count, None)


def test_a_walk_over_grants_goes_on_from_those_that_expire_to_those_that_do_not(http: TestClient) -> None:
    world, soon = World(), datetime.now(UTC) + timedelta(days=1)
    with transaction() as conn:
        for number in range(6):
            ends = soon if number % 3 == 0 else soon + timedelta(days=number) if number % 3 == 1 else None
            ledger.grant(conn, world.who, kind="gift", amount=1, ref=f"g {number}", expires_at=ends)
    in_order = rows("select id from grants where account_id = %s order by expires_at, id", world.who)
    walked = [row["id"] for page in pages(http, world, "/v1/credits/grants", 1) for row in page["data"]]
    assert walked == [str(row[0]) for row in in_order]
    assert len(walked) > 6


# A place in each list, and texts that are no cursors of any.
PLACES: list[tuple[Listing[Any], Any]] = [
    (JOBS, uuid7()), (ALL_JOBS, uuid7()), (BATCHES, uuid7()), (BULK_RUNS, uuid7()), (FILES, uuid7()), (NOTIFICATIONS, uuid7()), (WEBHOOKS, uuid7()), (USERS, uuid7()),
    (ANNOUNCEMENTS, uuid7()), (ENTRIES, 7), (ACTS, 7), (EVENTS, 7), (KEYS, (False, uuid7())), (MODELS, "a"),
    (PROVIDER_KEYS, "a"), (PLANS, (0, "free")), (PACKS, (0, "free")), (GRANTS, GrantPlace(0, None, uuid7())), (DELIVERIES, (datetime.now(UTC), uuid7())),
    (PAYMENTS, uuid7()), (ALL_PAYMENTS, uuid7()), (PROMOTIONS, "CODE-1"), (HOLDS, uuid7()), (LABEL_LIMITS, ("customer", "a b:c")),
    (COURSES, uuid7()), (ENROLMENTS, uuid7()), (QUIZ_ATTEMPTS, uuid7()),
    (ARTICLES, (datetime.now(UTC), uuid7())),
    (FOUND, (0.5, uuid7())), (DESK, uuid7()), (REVISIONS, 7),
    *((each, (datetime.now(UTC), uuid7())) for each in ITEM_LISTS.values()), *((each, (7, uuid7())) for each in SEARCHES.values()),
    (FEED, (datetime.now(UTC), uuid7())), (COLLECTIONS, uuid7()), (CONTENTS, (7, uuid7())), (LINKS, uuid7()), (MEMBERS, uuid7()),
    (INVITATIONS, uuid7()),
    (SESSIONS, uuid7()), (SUMMARIES, uuid7()), (TOKENS, uuid7()),
]  # fmt: skip
FOREIGN = ["", "x", "é", "null", "0", str(uuid.uuid4()), "AAAA", "a" * 5000, "../..", "-1", "=" * 8]


def test_the_cursors_of_all_lists_differ() -> None:
    assert len({listing.name for listing, _ in PLACES}) == len(PLACES) == len(LISTS)


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_that_is_not_of_this_list_is_refused(http: TestClient, path: str) -> None:
    world = planted(http, path, 3)
    own = next(pages(http, world, path, 1))["next"]
    plain = base64.b64decode(own + "=" * (-len(own) % 4), altchars=b"-_")
    name, signature = plain[SIGNATURE_BYTES:].decode().partition(" ")[0], plain[:SIGNATURE_BYTES]
    rewritten = [plain[:-1], plain + b"0", plain[SIGNATURE_BYTES:], signature, signature + b"x", plain[:-1] + b"7\x7f"]
    wrong = [
        *FOREIGN, *(listing.cursor_of(place) for listing, place in PLACES if listing.name != name), own[:-1], own + "A", own + "=", own.swapcase(),
        *(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in rewritten),
    ]  # fmt: skip
    for cursor in wrong:
        answer = http.get(address_of(path), headers=world.head, params={**wanted_by(path), "cursor": cursor})
        assert (cursor, answer.status_code) == (cursor, 422)
        assert (answer.json()["code"], answer.json()["param"]) == ("invalid_cursor", "cursor")
    assert http.get(address_of(path), headers=world.head, params={**wanted_by(path), "cursor": own}).status_code == 200


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.5", "", "²"])
def test_a_limit_that_is_none_is_refused_by_every_list_alike(http: TestClient, limit: str) -> None:
    world = World()
    hooks(world, 1)
    for path in LISTS:
        answer = http.get(address_of(path), headers=world.head, params={**wanted_by(path), "limit": limit})
        assert (path, answer.status_code, answer.json()["param"]) == (path, 422, "limit")


def test_the_operator_can_make_pages_smaller(database: str) -> None:
    with environment({"PAGE_SIZE_MAX": "2"}), TestClient(make_app()) as http:
        world = World()
        events(world, 5)
        files(world, 3)
        for path in ("/v1/events", "/v1/files"):
            assert len(next(pages(http, world, path, MAX_LIMIT))["data"]) == 2


# --- every route by an id ---

BY_ID = [
    (path, method) for path, method, need in needs_of(make_app()) if need != PUBLIC and "{" in path and not path.startswith(("/console", "/account"))
]  # fmt: skip


def things_of(world: World) -> dict[str, Any]:
    """One of everything that has an id."""
    jobs(world, 1)
    files(world, 1)
    notifications(world, 1)
    own_keys(world, 1)
    deliveries(world, 1)
    batched(world, 1)
    with transaction() as conn:
        better = api_keys.create(conn, world.who, api_keys.NewKey("boss", scopes=SCOPES))[0]
    return {
        "job_id": one("select id from jobs where account_id = %s", world.who)[0],
        "batch_id": one("select id from batches where account_id = %s", world.who)[0],
        "file_id": one("select id from uploads where account_id = %s", world.who)[0],
        "notification_id": one("select id from notifications where account_id = %s", world.who)[0],
        "provider": "router-0",
        "webhook_id": one("select id from webhook_endpoints where account_id = %s", world.who)[0],
        "delivery_id": one("select id from deliveries where account_id = %s", world.who)[0],
        "key_id": better,
        "user_id": one("select user_id from accounts where id = %s", world.who)[0],
    }


def statuses(http: TestClient, world: World, things: dict[str, Any], others: dict[str, str]) -> dict[str, int]:
    """What everybody who may not, and then the owner, is answered about the oldest things."""
    found = {}
    for path, method in BY_ID:
        address = re.sub(r"\{(\w+)(:path)?\}", lambda name: str(things.get(name[1], uuid.uuid4())), path)
        body = {"post": {}, "put": {"key": "sk-another-key"}, "patch": {"role": "admin"}}.get(method)
        for name, secret in {**others, "owner": world.secret}.items():
            reads = name in {"owner", "reads and writes"}
            if (name == "owner" and method == "delete") or (reads and path == "/v1/jobs/{job_id}/events"):
                continue  # the things of the next routes; a stream without an end
            head = {"authorization": f"Bearer {secret}"}
            answer = http.request(method, address, headers=head, **({} if body is None else {"json": body}))
            found[f"{name}: {method} {path}"] = answer.status_code
    return found


def test_every_route_by_an_id_answers_the_same_about_the_oldest_of_more_than_a_page(http: TestClient) -> None:
    found = []
    for newer in (0, 1):
        world = World()
        things = things_of(world)
        with transaction() as conn:
            others = {
                "reads and writes": api_keys.create(
                    conn, world.who, api_keys.NewKey("little", scopes=["read", "write"])
                )[1],
                "deletes": api_keys.create(conn, world.who, api_keys.NewKey("little", scopes=["delete"]))[1],
                "a stranger": api_keys.create(conn, account(), api_keys.NewKey("all", scopes=SCOPES))[1],
            }
        if newer:
            for plant, largest in ((jobs, 100), (files, 100), (notifications, 100), (users, 100), (acted, 100)):
                plant(world, largest + 1)
            revoked_keys(world, api_keys.MAX_LISTED)
            deliveries(world, 101)
            events(world, PAGE + 1)
        found.append(statuses(http, world, things, others))
    assert found[0] == found[1]
    refused = {name: status for name, status in found[1].items() if not name.startswith("owner")}
    assert refused["reads and writes: post /v1/keys/{key_id}/rotate"] == 403
    let_in = {name for name, status in refused.items() if name.startswith("a stranger") and status < 400}
    assert {name for name in let_in if "{provider}" not in name} == set()  # a provider's name is nobody's own


def test_the_end_of_a_job_is_told_though_it_has_more_events_than_a_page(http: TestClient) -> None:
    world = World()
    job = placed(world.who, model("one"))
    first = one("select event_number from accounts where id = %s", world.who)[0]
    events(world, PAGE + 5)
    with transaction() as conn:
        conn.execute("update events set job_id = %s where number > %s", [job, first])
    finish(job, "failed")
    last = one("select event_number from accounts where id = %s", world.who)[0]
    head = {**world.head, "accept": "text/event-stream"}
    with http.stream("GET", f"/v1/jobs/{job}/events", headers={**head, "last-event-id": str(first)}) as answer:
        assert answer.status_code == 200, "there is more to tell, and the client is told that it has it all"
        assert b"event: job.failed" in b"".join(answer.iter_bytes())
    known = http.get(f"/v1/jobs/{job}/events", headers={**head, "last-event-id": str(last)})
    assert known.status_code == 204


# --- every query with a limit ---

LIST, BATCH, ONE, COUNT, EDGE = "list", "batch", "one", "count", "edge"
# What becomes of the rest. list: looked at, page by page, and never by a check. batch: a duty comes again until nothing is
# left. one: more than one row says no more. count: "so many or more" is what is told. edge: the rest is what it is about.
LIMITED = {
    ("content/articles", "list_articles"): LIST, ("content/revisions", "list_revisions"): LIST, ("content/reading", "list_shown"): PAGE,
    ("content/searching", ""): PAGE,  # where more than a thousand fit, the newest thousand are looked through
    ("content/reading", "forget_likes"): BATCH, ("content/reading", "months_shown"): EDGE,  # a hundred years
    ("content/reading", "slugs_of_month"): EDGE,  # a sitemap has its protocol's limit
    ("accounts/accounts", "users"): LIST, ("access/audit_log", "list_acts"): LIST, ("events/announcements", "list_announcements"): LIST,
    ("events/deliveries", "list_deliveries"): LIST, ("events/events", "after"): LIST, ("events/events", "of_jobs"): LIST, ("access/api_keys", "list_keys"): LIST, ("access/browser_tokens", "list_tokens"): LIST,
    ("events/notifications", "list_notifications"): LIST, ("events/endpoints", "list_endpoints"): LIST, ("catalogue/provider_keys", "shown"): LIST, ("credits/reads", "ledger_page"): LIST, ("jobs/reads", "list_jobs"): LIST, ("jobs/reads", "jobs_of_kind"): LIST,
    ("jobs/batch_rows", "list_batches"): LIST, ("jobs/batch_rows", ""): LIST, ("jobs/batch_rows", "living"): BATCH, ("jobs/batches", "ready_to_let_go"): BATCH, ("jobs/batches", "let_go"): BATCH,
    ("jobs/begun", "begun_jobs"): EDGE,  # who has more in flight is told of these when that is said, and hears of the others' ends
    ("jobs/repeats", ""): ONE, ("jobs/reads", "usage"): ONE,
    ("jobs/batches", "look"): BATCH, ("jobs/batches", "forget"): BATCH,
    ("credits/reads", "open_grants"): LIST, ("credits/hold_rows", "list_holds"): LIST, ("credits/label_limits", "list_limits"): LIST, ("credits/label_limits", ""): ONE, ("credits/hold_rows", "due"): BATCH, ("credits/holds", "_check_count"): ONE, ("credits/holds", "end_some"): BATCH, ("payments/orders", "_waiting_renewal"): ONE, ("files/uploads", "page"): LIST,
    ("access/audit_log", "forget"): BATCH, ("events/announcements", "notify"): BATCH, ("events/announcements", "_notify_missed"): BATCH,
    ("jobs/answered", "forget"): BATCH, ("jobs/callbacks", "forget"): BATCH, ("jobs/clock", "mend_wakes"): BATCH,
    ("jobs/clock", "shifts"): BATCH, ("credits/ledger", "accounts_with_lapsed"): BATCH, ("identity/inbound", "forget"): BATCH,
    ("jobs/tables", "forget_idempotency_keys"): BATCH, ("access/api_keys", "forget"): BATCH, ("access/browser_tokens", "forget_tokens"): BATCH, ("identity/erasure", "erase_account"): BATCH,
    ("identity/erasure", "pending_erasures"): BATCH, ("events/sending", "claim"): BATCH, ("events/sending", "forget"): BATCH, ("events/sending", "_give_up"): BATCH,
    ("events/notifications", "forget"): BATCH, ("jobs/reconcile", "list_parked"): BATCH, ("files/results", "expire"): BATCH,
    ("files/results", "accounts_due"): BATCH, ("files/results", "to_purge"): BATCH, ("jobs/ringing", "due"): BATCH, ("jobs/polls", ""): BATCH,
    ("jobs/steps", "lapsed"): BATCH, ("jobs/steps", "accounts_to_dispatch"): BATCH, ("jobs/steps", "accounts_with_room"): BATCH,
    ("accounts/subscriptions", "due_periods"): BATCH, ("accounts/subscriptions", "run_out"): BATCH, ("accounts/subscriptions", "latest"): ONE, ("files/uploads", "expire"): BATCH,
    ("files/uploads", "accounts_due"): BATCH, ("files/uploads", "to_purge"): BATCH, ("files/uploads", "forget"): BATCH,
    ("payments/due", "claim"): BATCH, ("payments/due", "claim_refunds"): BATCH, ("payments/refills", "due"): BATCH, ("payments/refills", "switch_on"): ONE,
    ("learning/courses", "list_courses"): LIST, ("learning/enrolments", "list_enrolments"): LIST, ("learning/attempts", "list_attempts"): LIST,
    ("playground/sessions", "list_sessions"): LIST, ("playground/summaries", ""): LIST, ("playground/sessions", ""): ONE, ("playground/kept", "due"): BATCH,
    ("provisioning/credentials", "list_credentials"): LIST, ("provisioning/usage", "list_usage"): LIST,
    ("provisioning/credentials", "find_active"): ONE,
    ("payments/hints", "begin_renewal"): ONE, ("payments/due", "record_refund_failed"): ONE, ("accounts/subscriptions", "still_renewed"): BATCH, ("payments/orders", "list_payments"): PAGE, ("payments/promotions", "list_promotions"): PAGE,
    ("gallery/items", "list_items"): LIST, ("gallery/items", "_indexed"): EDGE, ("gallery/items", "feed"): LIST, ("gallery/contents", "list_items"): LIST,
    ("gallery/items", "_recent"): EDGE,  # what is older the duty has come by
    ("operations/asked", "provider_figures"): EDGE, ("operations/holders", "held_by"): EDGE, ("operations/receivers", "list_receivers"): LIST,
    ("usage/charts", "took"): EDGE, ("usage/charts", "errors_lately"): EDGE, ("usage/charts", "busiest"): EDGE,  # samples, and the first of many
    ("jobs/pauses", "waiting_accounts"): BATCH, ("jobs/pauses", "_known"): ONE, ("operations/job_acts", "retry_job"): ONE, ("operations/finding", "find_jobs"): LIST, ("operations/bulk", "count"): EDGE, ("operations/bulk", "list_runs"): LIST, ("operations/overview", "overview"): EDGE, ("operations/story", "story"): EDGE, ("operations/story", ""): EDGE, ("fleet/processes", "workers"): EDGE,
    ("usage/business", "active_accounts"): EDGE, ("snapshots", "some_tables"): EDGE,
    ("operations/erasing", "preview"): EDGE, ("operations/erasing", ""): BATCH, ("operations/erasing", "pending"): BATCH, ("operations/erasing", "go_on"): BATCH,  # counts of so many and no more
    ("operations/archived", "read_set_aside"): BATCH, ("operations/archived", "waiting_files"): BATCH, ("operations/archive_months", "waiting_months"): BATCH,
    ("operations/exporting", "page"): LIST, ("operations/walks", "next_jobs"): BATCH,  # plans: of more, the first hundred
    ("usage/entries", "add_up"): BATCH, ("gallery/search", "_ranked"): LIST, ("gallery/search", "_meant"): EDGE,  # the newest prompts; the word that is most alike
    ("gallery/collections", "list_collections"): LIST, ("gallery/collections", "create"): ONE, ("gallery/collections", "_with_cover"): EDGE,  # the first places

    ("gallery/links", "list_links"): LIST, ("gallery/members", "list_members"): LIST,
    ("gallery/shutting", ""): BATCH, ("gallery/shutting", "mark"): ONE, ("gallery/indexing", "_next"): BATCH, ("gallery/indexing", "forget"): BATCH, ("gallery/clearing", "erase"): BATCH,
    ("identity/acting", "_find"): EDGE,  # two are one too many
    ("events/deliveries", "redeliver_range"): BATCH,  # the client comes again, until it is less
    ("events/sending", "_let_go"): ONE, ("events/sending", "_head"): ONE, ("credits/reads", "expire_and_read_balance"): ONE, ("jobs/steps", "last_error"): ONE,
    ("usage/report", "report"): EDGE,  # one group is one too many
    ("schema/prepare", "prepare"): ONE, ("files/uploads", "find_same"): ONE, ("files/cdn_purges", "due"): BATCH, ("files/room", "_largest"): EDGE, ("jobs/end_job_v6", ""): ONE, ("jobs/dispatch_account_v3", ""): ONE,
    ("jobs/reads", ""): COUNT, ("jobs/reads", "_living"): EDGE, ("events/notifications", "unread"): COUNT,  # a job's place in its queue; the unread ones
    ("access/api_keys", "create"): EDGE,  # of revoked keys the newest are kept, and the others deleted
    ("credits/audit", "find_broken"): EDGE, ("credits/proofs", ""): ONE, ("credits/audit", "stuck"): EDGE,  # one row is one too many; twenty are shown
}  # fmt: skip
_LIMIT = re.compile(r"\blimit\s+(%[(s]|\{|\d|:|\$)|\boffset\s+[\d{%]|fetch (first|next)", re.IGNORECASE)
_SQL = re.compile(r"\b(select|update|delete|where)\b", re.IGNORECASE)


def _module(path: Path) -> str:
    """As `jobs/submit`."""
    return str(path.relative_to(ROOT / "models").with_suffix(""))


def limited() -> set[tuple[str, str]]:
    """Every function of the models, and every SQL function, that has a query with a limit."""
    found = set()
    for path in (ROOT / "models").rglob("*.py"):
        if "versions" in path.parts:
            continue
        tree = ast.parse(path.read_text())
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        for node in ast.walk(tree):
            text = (
                node.value
                if isinstance(node, ast.Constant)
                else ast.unparse(node)
                if isinstance(node, ast.JoinedStr)
                else ""
            )
            if isinstance(text, str) and _LIMIT.search(text) and _SQL.search(text):
                inside = [each.name for each in functions if each.lineno <= node.lineno <= (each.end_lineno or 0)]
                found.add((_module(path), inside[0] if inside else ""))
    for path in (ROOT / "models").rglob("*.sql"):
        if "versions" not in path.parts and _LIMIT.search(path.read_text()):
            found.add((_module(path), ""))
    return found


def test_every_query_with_a_limit_says_what_becomes_of_the_rest() -> None:
    found = limited()
    assert found - set(LIMITED) == set(), "new: say what becomes of the rows past its limit"
    assert set(LIMITED) - found == set(), "gone"


def callers_of_lists() -> Iterator[tuple[str, str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Each function outside the command line that calls a list: the module, the list, the function."""
    lists = {each for each, kind in LIMITED.items() if kind == LIST}
    for package in ("api", "workers", "scheduler", "models"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text())
            names = {
                alias.name: f"{node.module.removeprefix('models.').replace('.', '/')}/{alias.name}"
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("models.") and node.module
                for alias in node.names
            }
            for function in ast.walk(tree):
                if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                for call in ast.walk(function):
                    if not isinstance(call, ast.Call):
                        continue
                    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
                        called = (names.get(call.func.value.id, ""), call.func.attr)
                    elif isinstance(call.func, ast.Name) and package == "models":
                        called = (_module(path), call.func.id)
                    else:
                        continue
                    if called in lists:
                        yield str(path.relative_to(ROOT)), ".".join(called), function


def test_no_check_reads_a_list() -> None:
    """What a check is about it reads by id; only what shows a list may call one: GET routes, and streams page by page."""
    shown = {("api/live/hub.py", "_read_group"), ("api/live/hub.py", "_read_past")}
    shown |= {
        ("api/provisioning/provisioning.py", name) for name in ("list_credentials", "list_provider_usage")
    }  # POST
    shown |= {
        ("models/learning/enrolments.py", "look_at_enrolments"),  # what GET shows
        ("api/v1/images.py", "_add_list"),
        ("api/v1/snapshots.py", "job_page"),  # what GET shows, and what a stream shows first
        ("api/shared/page.py", "_read"),
        ("models/operations/bulk.py", "next_slice"),
        ("models/operations/exporting.py", "next_lines"),  # page by page to the end
        ("api/console/overview.py", "read_figures"),
        ("api/dialects/replicate/predictions.py", "_page"),  # what GET shows, in the words of others
        ("api/dialects/replicate/files.py", "_page"),
        ("api/dialects/openai/videos.py", "_read"),
        ("api/dialects/openai/files.py", "list_openai_files"),
        ("api/dialects/openai/files.py", "read"),
        ("api/dialects/openai/batches.py", "_read"),
        ("api/dialects/mcp/resources.py", "_newest"),
    }  # of three kinds; a page without a key
    wrong, right = [], 0
    for module, called, function in callers_of_lists():
        gets = any(
            isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr == "get"
            for each in function.decorator_list
        )
        if gets or (module, function.name) in shown:
            right += 1
        else:
            wrong.append(f"{module}: {function.name} calls {called}")
    assert wrong == []
    assert right > 8
