"""Every route of content as everybody there is: nobody, free, pro, editor, admin; and a product's server."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from api.main import PUBLIC, make_app, needs_of
from common.settings import settings
from models.access import api_keys
from models.access.scopes import ROLES, SCOPES, Role, below, may_read_on
from models.accounts import subscriptions
from models.content import articles
from models.db import transaction
from tests.models.content.desk import BY, head_of, key_with_all, person, shown, written
from tests.support import key_of, one

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

ROUTES = [each for each in needs_of(make_app()) if each[0].startswith("/v1/content")]
# What each needs in order to do its work; `{}`: of an article of its own.
BODIES: dict[str, Any] = {
    "post /v1/content/desk/articles": {"section": "news", "kind": "tool", "title": "New", "body": "New."},
    "patch /v1/content/desk/articles/{article_id}": {"body": "Changed."},
    "post /v1/content/desk/articles/{article_id}/publish": {},
}
QUERY = {"/v1/content/search": "?q=words"}


@pytest.fixture
def http(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("FAILED_AUTH_PER_MINUTE", "100000")
    settings.cache_clear()
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def article_with_revision(method: str, path: str) -> tuple[UUID, str]:
    """An article that the route can do its work on: its id and slug."""
    row = shown(f"Article of {method} {path}") if path.startswith("/v1/content/articles") else written("Draft")
    with transaction() as conn:
        row = articles.change_article(
            conn, BY, row.created_by, row.id, row.version, lambda was: was._replace(body="Other.")
        )
        if path.endswith("/restore") and "revisions" not in path:
            row = articles.delete_article(conn, BY, row.id)
    return row.id, row.slug


def call(http: TestClient, method: str, path: str, head: dict[str, str]) -> Any:
    article_id, slug = article_with_revision(method, path)
    version, number = one(
        "select version, (select min(number) from article_revisions where article_id = a.id) from articles a where id = %s",
        article_id,
    )
    things = {"article_id": article_id, "slug": slug, "number": number, "month": "2026-01"}
    address = re.sub(r"\{(\w+)\}", lambda found: str(things[found[1]]), path) + QUERY.get(path, "")
    return http.request(
        method, address, headers={**head, "if-match": f'"{version}"'}, json=BODIES.get(f"{method} {path}")
    )


def expected(need: str, role: Role | None) -> int:
    if need == PUBLIC:
        return 200
    if role is None:
        return 401
    return 403 if need == "edit" and below(role, "editor") else 200


def test_every_route_says_public_write_or_edit_and_none_is_left_out() -> None:
    assert {need for _, _, need in ROUTES} == {PUBLIC, "write", "edit"}
    assert {path for path, _, need in ROUTES if need == "edit"} == {path for path, _, _ in ROUTES if "/desk/" in path}
    assert len(ROUTES) == 20


@pytest.mark.parametrize("role", [None, *ROLES])
def test_each_route_answers_each_role_as_it_says(http: TestClient, role: Role | None) -> None:
    head = {} if role is None else head_of(role)
    wrong = []
    for path, method, need in ROUTES:
        answer = call(http, method, path, head)
        wanted = expected(need, role)
        if answer.status_code != wanted and not (answer.status_code == 201 and wanted == 200):
            wrong.append((method, path, answer.status_code, answer.text[:200]))
        if wanted == 403:
            assert answer.json()["needed"] == "editor"
    assert wrong == []


@pytest.mark.parametrize("missing", ["edit", "write", "read"])
def test_a_role_is_nothing_without_the_scope(http: TestClient, missing: str) -> None:
    who = person("admin")[0]
    with transaction() as conn:
        secret = api_keys.create(conn, who, api_keys.NewKey("less", scopes=set(SCOPES) - {missing}))[1]
    for path, method, need in ROUTES:
        answer = call(http, method, path, {"authorization": f"Bearer {secret}"})
        # Of what is public, who sends a key is known by it, and needs to read; feeds look at no key.
        refused = need == missing or (
            need == PUBLIC and missing == "read" and not path.endswith((".rss", ".atom", ".xml"))
        )
        assert (method, path, answer.status_code == 403) == (method, path, refused), answer.text


def test_a_products_server_reads_for_its_users_and_edits_for_none(http: TestClient) -> None:
    server = key_with_all(person("admin")[0])
    row = shown("Closed", "Words that only some may read, and more of them. " * 10, premium=True)
    for role, reads in (("user", False), ("pro", True), ("editor", True), ("admin", True)):
        head = {**server, "headrace-account": str(person(role)[0])}
        assert http.get(f"/v1/content/articles/{row.slug}", headers=head).json()["may_read"] is reads
        assert http.get("/v1/content/desk/articles", headers=head).status_code == 403
    assert http.get("/v1/content/desk/articles", headers=server).status_code == 200


def test_who_is_made_editor_edits_and_who_is_no_longer_does_not(http: TestClient) -> None:
    boss, (who, user) = head_of("admin"), person("user")
    made = http.patch(f"/v1/admin/users/{user}", json={"role": "editor"}, headers=boss)
    assert (made.status_code, made.json()["role"]) == (200, "editor")
    head = key_with_all(who)
    assert http.get("/v1/content/desk/articles", headers=head).status_code == 200
    for path in ("/v1/admin/users", "/v1/admin/stats", "/v1/admin/acts"):
        assert http.get(path, headers=head).status_code == 403, "an editor is no admin"
    key = {
        "authorization": f"Bearer {http.post('/v1/keys', json={'name': 'x', 'scopes': ['edit', 'read']}, headers=head).json()['secret']}"
    }
    assert http.get("/v1/content/desk/articles", headers=key).status_code == 200
    assert http.patch(f"/v1/admin/users/{user}", json={"role": "pro"}, headers=boss).json()["role"] == "pro"
    assert one(
        "select count(*) from api_keys where account_id = %s and revoked_at is null and 'edit' = any(scopes)", who
    ) == (0,)
    refused = http.post(
        "/v1/keys", json={"name": "x", "scopes": ["edit"]}, headers={"authorization": f"Bearer {key_of(who)}"}
    )
    assert (refused.status_code, refused.json()["param"]) == (403, "scopes")


def test_who_reads_on_is_decided_in_one_place() -> None:
    assert [may_read_on(role, premium=True) for role in (None, *ROLES)] == [False, False, True, True, True]
    assert {may_read_on(role, premium=False) for role in (None, *ROLES)} == {True}


def test_a_subscription_makes_no_editor_less() -> None:
    for role, end, after in (
        ("editor", "user", "editor"),
        ("editor", "pro", "editor"),
        ("admin", "user", "admin"),
        ("pro", "user", "user"),
        ("user", "pro", "pro"),
    ):
        who, user = person(role)
        with transaction() as conn:
            subscriptions.follow_role(conn, who, end, by=BY)
        assert one("select role from users where id = %s", user) == (after,)
