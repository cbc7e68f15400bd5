"""Gallery, collections, playground, summaries and figures, as everybody there is: one world, every route, each person.

Articles are walked in test_content_access.py, courses in test_learning.py; here is the gate that no route is left out of these.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from api.main import make_app, needs_of
from cli.embedded.servers import Addresses
from models.access import api_keys
from models.access.scopes import SCOPES
from models.db import transaction
from models.gallery import members
from models.gallery.members import MemberRow
from models.playground import sessions
from models.playground.sessions import NewSession
from tests.api.v1 import test_content_access, test_learning
from tests.conftest import environment, fresh_database
from tests.models.gallery.things import collection, publish, result, somebody
from tests.models.hands import change
from tests.support import model, placed, rows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SECRET = "a lighthouse that nobody may see"
TEXT: dict[str, Any] = {
    "kind": "text", "routes": [{"provider": "sketch", "model": "text"}],
    "input_schema": {
        "type": "object", "additionalProperties": False, "properties": {"prompt": {"type": "string"}, "system": {"type": "string"}},
    },
}  # fmt: skip
# Who asks; `viewer` and `helper` are collaborators of the private collection, `free` is invited to two others.
NOBODY, FREE, PRO, VIEWER, HELPER, EDITOR, ADMIN, OWNER = PEOPLE = (
    "nobody", "free", "pro", "viewer", "helper", "editor", "admin", "owner",
)  # fmt: skip


class World(NamedTuple):
    """Everybody's headers and accounts, and the owner's things."""

    http: TestClient
    heads: dict[str, dict[str, str]]
    accounts: dict[str, UUID]
    things: dict[str, Any]


def answers(*may: str, others: int, knowing: tuple[str, ...] = ()) -> dict[str, int]:
    """What each person is answered: 200 is any success, and 403 is for those who know of a thing that they may not touch."""
    status = dict.fromkeys(PEOPLE, others) | dict.fromkeys(knowing, 403) | dict.fromkeys(may, 200)
    return {**status, NOBODY: 401}


ANYBODY = answers(*PEOPLE, others=200)
OWN = answers(OWNER, others=404)
EDIT, OPERATE = answers(EDITOR, ADMIN, others=403), answers(ADMIN, others=403)
INVITED = answers(FREE, others=404)
LOOK = answers(VIEWER, HELPER, OWNER, others=404)
FILL = answers(HELPER, OWNER, others=404, knowing=(VIEWER,))
SHARE = answers(OWNER, others=404, knowing=(VIEWER, HELPER))
LEAVE = answers(VIEWER, HELPER, others=404, knowing=(OWNER,))
OWN_PUBLIC = answers(OWNER, others=403)  # of what everybody may look at

ITEMS: dict[str, Any] = {"items": ["ITEM"]}
WALK: dict[str, tuple[Any, dict[str, int]]] = {
    **{
        f"{method} /v1/{kind}s{path}": (body, expected)
        for kind in ("image", "video", "sound")
        for method, path, body, expected in (
            ("get", "", None, ANYBODY),
            ("get", f"/{{{kind}_id}}", None, OWN),
            ("get", f"/{{public_{kind}_id}}", None, ANYBODY),
            ("patch", f"/{{{kind}_id}}", {"title": "x"}, OWN),
            ("patch", f"/{{public_{kind}_id}}", {"title": "x"}, OWN),
            ("put", f"/{{{kind}_id}}/like", None, OWN),
            ("put", f"/{{public_{kind}_id}}/like", None, ANYBODY),
            ("delete", f"/{{{kind}_id}}/like", None, OWN),
            ("delete", f"/{{public_{kind}_id}}/like", None, ANYBODY),
        )
    },
    **{f"get /v1/search/{kind}s?q=lighthouse": (None, ANYBODY) for kind in ("image", "video", "sound")},
    "get /v1/feed": (None, ANYBODY),
    "get /v1/collections": (None, ANYBODY),
    "post /v1/collections": ({"name": "mine"}, ANYBODY),
    "get /v1/collections/{collection_id}": (None, LOOK),
    "get /v1/collections/{public_id}": (None, ANYBODY),
    "patch /v1/collections/{collection_id}": ({"name": "ours"}, FILL),
    "patch /v1/collections/{collection_id}?": ({"name": "ours", "public": False}, SHARE),
    "patch /v1/collections/{public_id}": ({"name": "ours"}, OWN_PUBLIC),
    "get /v1/collections/{collection_id}/items": (None, LOOK),
    "get /v1/collections/{public_id}/items": (None, ANYBODY),
    "post /v1/collections/{collection_id}/items": (ITEMS, FILL),
    "post /v1/collections/{public_id}/items": (ITEMS, OWN_PUBLIC),
    "post /v1/collections/{collection_id}/items/order": (ITEMS, FILL),
    "post /v1/collections/{public_id}/items/order": (ITEMS, OWN_PUBLIC),
    "post /v1/collections/{collection_id}/items/remove": ({"items": [str(uuid4())]}, FILL),
    "post /v1/collections/{public_id}/items/remove": ({"items": [str(uuid4())]}, OWN_PUBLIC),
    "get /v1/collections/{collection_id}/links": (None, SHARE),
    "post /v1/collections/{collection_id}/links": ({}, SHARE),
    "post /v1/collections/{public_id}/links": ({}, OWN_PUBLIC),
    "delete /v1/collections/{collection_id}/links/{link_id}": (None, SHARE),
    "get /v1/collections/{collection_id}/members": (None, SHARE),
    "get /v1/collections/{public_id}/members": (None, OWN_PUBLIC),
    "post /v1/collections/{collection_id}/members": ({"email": "one.more@example.com"}, SHARE),
    "patch /v1/collections/{collection_id}/members/{member_id}": ({"role": "editor"}, SHARE),
    "delete /v1/collections/{collection_id}/members/{member_id}": (None, SHARE),
    "get /v1/invitations": (None, ANYBODY),
    "post /v1/invitations/{invitation_id}/accept": (None, INVITED),
    "delete /v1/invitations/{declined_id}": (None, INVITED),
    "get /v1/playground/sessions": (None, ANYBODY),
    "post /v1/playground/sessions": ({"model": "writer", "prompt": "x"}, ANYBODY),
    "get /v1/playground/sessions/{session_id}": (None, OWN),
    "get /v1/playground/sessions/{public_session_id}": (None, ANYBODY),
    "patch /v1/playground/sessions/{session_id}": ({"title": "x"}, OWN),
    "patch /v1/playground/sessions/{public_session_id}": ({"title": "x"}, OWN),
    "delete /v1/playground/sessions/{public_session_id}": (None, OWN),
    "get /v1/summaries": (None, EDIT),
    "post /v1/summaries": ({"kind": "article", "text": "Some words."}, EDIT),
    "get /v1/summaries/{summary_id}": (None, EDIT),
    "get /v1/admin/stats": (None, OPERATE),
    # At last what takes things away from those who come after.
    "post /v1/collections/{collection_id}/leave": (None, LEAVE),
    "delete /v1/playground/sessions/{session_id}": (None, OWN),
    "delete /v1/collections/{public_id}": (None, OWN_PUBLIC),
    "delete /v1/collections/{collection_id}": (None, OWN),
}


@pytest.fixture(scope="module")
def world(stack: Addresses) -> Iterator[World]:
    with fresh_database(stack):
        model("writer", **TEXT)
        heads, accounts = {NOBODY: dict[str, str]()}, dict[str, UUID]()
        for name in PEOPLE[1:]:
            accounts[name] = somebody(f"{name}@example.com", plan="enterprise" if name == OWNER else "free")
            role = name if name in (PRO, EDITOR, ADMIN) else "user"
            with transaction() as conn:
                conn.execute("update users set role = %s where email = %s", [role, f"{name}@example.com"])
                key = api_keys.create(conn, accounts[name], api_keys.NewKey("all", scopes=SCOPES))[1]
            heads[name] = {"authorization": f"Bearer {key}"}
        house = {"HOUSE_ACCOUNT": str(somebody()), "SUMMARY_MODEL": "writer", "FAILED_AUTH_PER_MINUTE": "100000"}
        with environment(house), TestClient(make_app(), raise_server_exceptions=False) as http:
            yield World(http, heads, accounts, _things(http, heads, accounts))


def _things(http: TestClient, heads: dict[str, dict[str, str]], accounts: dict[str, UUID]) -> dict[str, Any]:
    owner = accounts[OWNER]
    things: dict[str, Any] = {}
    for kind, media in (("image", "image/png"), ("video", "video/mp4"), ("sound", "audio/wav")):
        things[f"{kind}_id"], things[f"public_{kind}_id"] = (result(owner, SECRET, media=media) for _ in range(2))
        publish(owner, things[f"public_{kind}_id"], kind=kind)  # type: ignore[arg-type]  # one of the three kinds
    pictures = things["image_id"], things["public_image_id"]
    made, public = collection(owner, *pictures), collection(owner, *pictures, public=True)
    things |= {"collection_id": made.id, "public_id": public.id}
    for name, role in ((VIEWER, "viewer"), (HELPER, "editor")):
        _join(accounts, made.id, name, role)
    with transaction() as conn:
        things["member_id"] = members.invite(conn, owner, made.id, "spare@example.com", "viewer").id
        for name in ("invitation_id", "declined_id"):
            other = collection(owner, name=name).id
            things[name] = members.invite(conn, owner, other, f"{FREE}@example.com", "viewer").id
        for name, is_public in (("session_id", False), ("public_session_id", True)):
            job = placed(owner, model("writer", **TEXT), {"prompt": SECRET})
            things[name] = sessions.create(conn, owner, job, SECRET, NewSession(is_public=is_public))[0]
    link = http.post(f"/v1/collections/{made.id}/links", json={}, headers=heads[OWNER]).json()
    order = {"kind": "article", "text": "Some words."}
    summary = http.post("/v1/summaries", json=order, headers=heads[EDITOR]).json()
    return {**things, "link_id": link["id"], "summary_id": summary["id"]}


def _join(accounts: dict[str, UUID], collection_id: UUID, name: str, role: str) -> MemberRow:
    with transaction() as conn:
        row = members.invite(conn, accounts[OWNER], collection_id, f"{name}@example.com", role)
        members.accept(conn, accounts[name], row.id)
    return row


def call(world: World, name: str, body: Any, person: str) -> Any:
    method, _, path = name.partition(" ")
    if body == ITEMS:
        body = {"items": [str(world.things["public_image_id"])]}
    return world.http.request(method, path.format(**world.things), json=body, headers=world.heads[person])


def test_each_route_answers_each_person_as_it_says(world: World) -> None:
    wrong = []
    for name, (body, expected) in WALK.items():
        for person in PEOPLE:
            answer = call(world, name, body, person)
            status = 200 if 200 <= answer.status_code < 300 else answer.status_code
            if status != expected[person]:
                wrong.append((name, person, answer.status_code, expected[person], answer.text[:200]))
            if status != 200 and (SECRET in answer.text or str(world.accounts[OWNER]) in answer.text):
                wrong.append((name, person, "tells of it"))
    assert wrong == []


def test_no_route_of_these_parts_is_left_out() -> None:
    parts = r"/v1/(images|videos|sounds|search|feed|collections|invitations|playground|summaries|content|courses|lessons|enrolments|admin/stats)\b"
    there = {f"{method} {path}" for path, method, _ in needs_of(make_app()) if re.match(parts, path)}
    plain = {
        re.sub(r"\{(public_)?(image|video|sound)_id\}", "{item_id}", name.partition("?")[0])
        .replace("{public_id}", "{collection_id}")
        .replace("{public_session_id}", "{session_id}")
        .replace("{declined_id}", "{invitation_id}")
        for name in WALK
    }
    learning = {
        re.sub("draft_id", "course_id", re.sub("(preview|hidden)_id", "lesson_id", name.partition("?")[0]))
        for name in test_learning.WALK
    }
    assert there == plain | learning | {f"{method} {path}" for path, method, _ in test_content_access.ROUTES}


def test_a_private_item_in_a_public_collection_is_seen_by_nobody_else(world: World) -> None:
    owner = world.accounts[OWNER]
    hidden, open_one = result(owner, SECRET), result(owner, "an open sea")
    publish(owner, open_one)
    made = collection(owner, hidden, open_one, public=True, name="Both").id
    _join(world.accounts, made, HELPER, "editor")
    link = world.http.post(f"/v1/collections/{made}/links", json={}, headers=world.heads[OWNER]).json()["url"]

    def seen_by(person: str) -> set[str]:
        answer = world.http.get(f"/v1/collections/{made}/items", headers=world.heads[person])
        return {each["id"] for each in answer.json()["data"]}

    assert [seen_by(person) for person in (FREE, PRO, EDITOR, ADMIN)] == [{str(open_one)}] * 4
    assert seen_by(HELPER) == seen_by(OWNER) == {str(hidden), str(open_one)}  # put in for those who were let in
    assert SECRET in world.http.get(link).text
    publish(owner, hidden, on=False)
    assert [seen_by(person) for person in PEOPLE[1:-1]] == [{str(open_one)}] * 6
    assert SECRET not in world.http.get(link).text
    for person in PEOPLE[1:-1]:
        for path in (
            f"/v1/images/{hidden}",
            f"/v1/collections/{made}",
            "/v1/feed",
            "/v1/search/images?q=lighthouse&of=public",
        ):
            answer = world.http.get(path, headers=world.heads[person])
            assert str(hidden) not in answer.text or answer.status_code == 404, (person, path)


def test_a_link_that_is_revoked_opens_nothing_and_tells_nothing(world: World) -> None:
    made = collection(world.accounts[OWNER], result(world.accounts[OWNER], SECRET), name="Once shared").id
    path = f"/v1/collections/{made}/links"
    link = world.http.post(path, json={"password": "x"}, headers=world.heads[OWNER]).json()
    assert world.http.post(link["url"], data={"password": "x"}, follow_redirects=False).status_code == 303
    assert SECRET in world.http.get(link["url"]).text  # with the cookie that the password gave
    for person in PEOPLE[:-1]:
        assert world.http.delete(f"{path}/{link['id']}", headers=world.heads[person]).status_code in {401, 404}
    assert world.http.delete(f"{path}/{link['id']}", headers=world.heads[OWNER]).status_code == 204
    for answer in (world.http.get(link["url"]), world.http.post(link["url"], data={"password": "x"})):
        assert answer.status_code == 410
        assert SECRET not in answer.text
        assert "Once shared" not in answer.text


def test_who_is_demoted_does_nothing_more_and_who_is_removed_is_a_stranger(world: World) -> None:
    owner = world.accounts[OWNER]
    made = collection(owner, world.things["public_image_id"]).id
    member = _join(world.accounts, made, HELPER, "editor").id
    fillers = {name: body for name, (body, expected) in WALK.items() if expected is FILL}
    here = world._replace(things={**world.things, "collection_id": made})

    def tried() -> set[int]:
        return {call(here, name, body, HELPER).status_code for name, body in fillers.items()}

    assert len(fillers) == 4
    assert tried() == {200}
    place = f"/v1/collections/{made}/members/{member}"
    assert world.http.patch(place, json={"role": "viewer"}, headers=world.heads[OWNER]).status_code == 200
    assert tried() == {403}
    assert call(here, "get /v1/collections/{collection_id}/items", None, HELPER).status_code == 200
    # Where the owner's plan has no collaborators any more, they see nothing meanwhile.
    change("update accounts set plan_id = 'free' where id = %s", owner)
    assert tried() == {404}
    change("update accounts set plan_id = 'enterprise' where id = %s", owner)
    assert world.http.delete(place, headers=world.heads[OWNER]).status_code == 204
    assert tried() == {404}
    assert rows("select 1 from collection_members where collection_id = %s", made) == []
