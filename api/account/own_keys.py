"""An account's keys: listed, made, and taken out of use."""

from typing import Any
from uuid import UUID

from psycopg import Connection
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from api.account.site import ACCOUNT_SITE, Deleting, Looking, Writing, account_router
from api.edge.problems import first_of
from api.routes.cursors import WantedPage, id_of
from api.routes.once import make_once
from api.sites.forms import MAX_ONCE, ActForm, FormField, ask_first, carry_out, done_once
from api.sites.routing import Actor, Fields, Posted, refusal_of
from api.v1.keys import KEYS, NewApiKey
from common.errors import InvalidParameter, NotFound
from models.access import api_keys, audit_log, minting
from models.access.scopes import DEFAULT_SCOPES, MEANING
from models.db import transaction
from models.jobs.admission import body_hash

router = account_router()

PAGE_KEYS = 25


@router.get("/keys")
def show_keys(page: Looking, request: Request) -> Response:
    """Those that work before those that do not, newest first."""
    cursor = request.query_params.get("cursor")
    wanted = WantedPage(None if cursor is None else KEYS.place_of(cursor), PAGE_KEYS)
    with transaction() as conn:
        rows = api_keys.list_keys(conn, page.who.account_id, after=wanted.after, limit=wanted.reads)
    shown, more = rows[: wanted.limit], len(rows) > wanted.limit
    return page.show(
        "keys.html", rows=shown, own_key=page.who.key_id, newest=ACCOUNT_SITE.link("/keys") if cursor else None,
        following=ACCOUNT_SITE.link("/keys", cursor=KEYS.cursor_of((shown[-1].revoked_at is not None, shown[-1].id))) if more else None,
    )  # fmt: skip


NEW_KEY = ActForm(
    "Make a key", "It can do no more than what you signed in with. Its secret is shown once, on the next page.", "/keys/new", "/keys",
    "Make the key", active="key",
    fields=(
        FormField("name", "Name", hint="For you: where it is used.", most=100, required=True),
        *(FormField(f"scope.{each}", f"May {MEANING[each]}", "check", "on") for each in DEFAULT_SCOPES),
        FormField("models", "Models", hint="Only these, with commas between them. Left empty: all.", most=2000),
        FormField("monthly_credits", "Credits a month", "number", hint="What its jobs may cost in a calendar month. Left empty: no limit of its own.", most=16),
        FormField("per_minute", "Requests a minute", "number", hint="Left empty: no limit of its own.", most=7),
        FormField("expires_at", "Ends (UTC)", "datetime-local", hint="Left empty: it lasts until it is revoked."),
    ),
)  # fmt: skip


@router.get("/keys/new")
def ask_key(page: Writing) -> Response:
    """Before a key is made."""
    return ask_first(page, NEW_KEY)


@router.post("/keys/new")
def make_key(page: Writing, actor: Actor, fields: Posted) -> Response:
    """Make it, and show its secret this once; the same form again shows the same key."""
    made = dict[str, Any]()

    def work() -> None:
        wanted = new_key_of(fields)

        def mint(conn: Connection[Any]) -> dict[str, Any]:
            key_id, secret = minting.mint(conn, page.who, api_keys.NewKey(**wanted.model_dump()))
            audit_log.record(conn, actor, "key.create", str(key_id), name=wanted.name, scopes=wanted.scopes)
            return {"id": key_id, "secret": secret}

        asked = {
            "act": "account key",
            "body": wanted.model_dump(mode="json"),
            "by": str(page.who.key_id or page.who.user_id),
        }
        once = fields.get("once", "")[:MAX_ONCE]
        made.update(make_once(page.who, f"account {once}" if once else None, body_hash(asked), mint).body)

    refused = refusal_of(work)
    if refused is not None:
        given = {each.name: fields.get(each.name, "") for each in NEW_KEY.fields} | {"once": fields.get("once", "")}
        return page.show("act.html", refused.status, form=NEW_KEY.filled(given), refused=refused)
    return page.show("key_made.html", made=made, name=fields.get("name", ""))


def new_key_of(fields: Fields) -> NewApiKey:
    """The key that a form asks for. Raises InvalidParameter that names the field."""
    scopes = [each for each in DEFAULT_SCOPES if fields.get(f"scope.{each}")]
    if not scopes:
        raise InvalidParameter("choose at least one thing that the key may do", param=f"scope.{DEFAULT_SCOPES[0]}")
    said: dict[str, Any] = {"name": fields.get("name", "").strip(), "scopes": scopes}
    for name in ("monthly_credits", "per_minute"):
        if text := fields.get(name, "").strip():
            said[name] = _whole(name, text)
    if models := [each.strip() for each in fields.get("models", "").split(",") if each.strip()]:
        said["models"] = models
    if ends := fields.get("expires_at", "").strip():
        said["expires_at"] = ends
    try:
        return NewApiKey.model_validate(said)
    except ValidationError as error:
        param, detail = first_of(error.errors())
        raise InvalidParameter(detail, param=param) from None


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):
        raise InvalidParameter(f"{name} must be a whole number, not {text[:20]!r}", param=name)
    return int(text)


@router.get("/keys/{key_id}/revoke")
def ask_revoke(page: Deleting, key_id: str) -> Response:
    """Before a key is taken out of use."""
    return ask_first(page, revoke_form(page.who.account_id, key_id, own=page.who.key_id))


@router.post("/keys/{key_id}/revoke")
def revoke_key(page: Deleting, actor: Actor, fields: Posted, key_id: str) -> Response:
    """Take it out of use, with all that it has made."""
    form, wanted = revoke_form(page.who.account_id, key_id, own=page.who.key_id), id_of(key_id, "key")

    def verb(conn: Connection[Any]) -> None:
        api_keys.revoke(conn, wanted, account_id=page.who.account_id)
        audit_log.record(conn, actor, "key.revoke", str(wanted))

    return carry_out(page, form, fields, lambda: done_once(page, form, fields, verb), "revoked")


def revoke_form(account_id: UUID, key_id: str, *, own: UUID | None) -> ActForm:
    """The page that asks before a key is revoked. Raises NotFound."""
    wanted = id_of(key_id, "key")
    with transaction() as conn:
        found = api_keys.standing(conn, account_id, wanted)
    if found is None:
        raise NotFound(f"no key {wanted} that works")
    left_out = ("You are signed in with this key: you will be signed out.",) if wanted == own else ()
    return ActForm(
        f"Revoke {found.may.name[:60]}", "Within five seconds it is refused everywhere, and so is every key that it has made. It cannot be undone.",
        f"/keys/{wanted}/revoke", "/keys", "Revoke the key", fields=(), left_out=left_out, danger=True, active="key",
    )  # fmt: skip
