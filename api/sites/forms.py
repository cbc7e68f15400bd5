"""Acts: each is a page that says what it will do and to what, takes a reason, and is done once however often it is sent."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

from psycopg import Connection
from starlette.responses import Response

from api.routes.once import make_once
from api.sites.rendering import SitePage
from api.sites.routing import Fields, refusal_of
from models.access.audit_log import MAX_REASON
from models.jobs.admission import body_hash

MAX_ONCE = 64


class FormField(NamedTuple):
    """One field. `kind`: text, number, datetime-local, select, area, check or hidden."""

    name: str
    label: str
    kind: str = "text"
    value: str = ""
    hint: str = ""
    options: tuple[tuple[str, str], ...] = ()
    most: int = 300
    required: bool = False


REASON = FormField(
    "reason", "Reason", "area", hint="Stands in Activity, with your name.", most=MAX_REASON, required=True
)


class ActForm(NamedTuple):
    """A page that asks before something is done."""

    title: str
    says: str
    path: str  # where it is sent
    back: str  # the page that it came from, and leads to
    button: str  # the deed
    fields: tuple[FormField, ...] = (REASON,)
    figures: tuple[tuple[str, str], ...] = ()  # of the dry run: value, and what it counts
    left_out: tuple[str, ...] = ()  # what it will not do, and why
    danger: bool = False
    active: str = ""  # the place in the navigation
    once: str = ""

    def filled(self, given: Mapping[str, str]) -> "ActForm":
        """The same with what somebody has typed."""
        fields = tuple(each._replace(value=given.get(each.name, each.value)) for each in self.fields)
        return self._replace(fields=fields, once=given.get("once", self.once))


def ask_first(page: SitePage, form: ActForm, given: Mapping[str, str] | None = None) -> Response:
    """The page of an act."""
    fresh = form._replace(once=uuid4().hex)
    return page.show("act.html", form=fresh.filled(given or {}), refused=None)


def carry_out(page: SitePage, form: ActForm, fields: Fields, work: Callable[[], object], done: str) -> Response:
    """Do it, and go back to where it came from; or say at the form why it was not done."""
    refused = refusal_of(work)
    if refused is not None:
        return page.show("act.html", refused.status, form=form.filled(fields), refused=refused)
    return page.go(form.back, done=done)


def done_once(page: SitePage, form: ActForm, fields: Fields, verb: Callable[[Connection[Any]], object]) -> None:
    """Do it in one transaction, once for each time that its page was shown."""
    said = {name: value for name, value in fields.items() if name != "form_token"}

    def work(conn: Connection[Any]) -> dict[str, Any]:
        verb(conn)
        return {"done": True}

    key = fields.get("once", "")[:MAX_ONCE]
    make_once(page.who, f"{page.site.name} {key}" if key else None, body_hash({"act": form.path, "said": said}), work)
