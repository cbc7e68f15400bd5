"""A product's server acts for its users: its key names the account in a header, and the request runs as that account.

Who is named is known for as long as a key is (KEY_CACHE_SECONDS), so that on a hot route it costs no query. What changes
something is in the audit log before it is done; those that arrive together are written together.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request

from api.edge.addresses import address_of
from api.edge.grouping import Grouper
from common.errors import Forbidden, InvalidParameter, NotFound, Suspended
from common.settings import settings
from models.access.audit_log import By
from models.access.scopes import NEEDED_ROLE, Caller, below
from models.db import certain, transaction
from models.identity import acting
from models.identity.acting import CREATE, HEADER, Named, ServerAct, Stood

MAX_KNOWN = 10_000
NOT_FOR_THEM = frozenset(NEEDED_ROLE)  # what editors and admins do, they do by keys of their own


class Acting:
    """For one event loop."""

    def __init__(self) -> None:
        self._known: dict[Named, tuple[float, Stood]] = {}
        self._lookups: Grouper[Named, Stood | None] = Grouper(_find, name="acting")
        self._openings: Grouper[Named, Stood | None] = Grouper(_create, name="openings", max_batch=1)
        self._acts: Grouper[ServerAct, None] = Grouper(_record, name="acts")

    async def acting_for(self, request: Request, who: Caller) -> Caller:
        """The caller that a request runs as: who has the key, or the account that its header names. Raises Forbidden without the
        scope `act`, InvalidParameter, NotFound, Suspended.
        """
        text = request.headers.get(HEADER)
        if text is None:
            return who
        if "act" not in who.scopes or who.role != "admin" or who.key_id is None:
            raise Forbidden(f"{HEADER} needs a key with the scope 'act', of an admin", needed="act")
        wanted = acting.named(text)
        stood = await self._stood(wanted, create=request.headers.get(CREATE, "").lower() == "true")
        if stood.refused == "suspended":
            raise Suspended("this account is suspended")
        if stood.refused:
            raise Forbidden(f"this user is {stood.refused}")
        if request.method not in {"GET", "HEAD"}:
            by = By(str(who.user_id), who.key_id, address_of(request.scope))
            await self._acts.ask(ServerAct(by, stood.account_id, request.method, request.url.path))
        role = "pro" if below("pro", stood.role) else stood.role
        return replace(
            who, account_id=stood.account_id, user_id=stood.user_id, key_id=None, scopes=who.scopes - NOT_FOR_THEM, role=role,
            monthly_credits=None, acting_key=who.key_id,
        )  # fmt: skip

    async def _stood(self, wanted: Named, *, create: bool) -> Stood:
        known = self._known.get(wanted)
        if known is not None and known[0] >= time.monotonic():
            return known[1]
        begun = time.monotonic()
        found = await self._lookups.ask(wanted)
        if found is None and create:
            found = await self._openings.ask(wanted)
        if found is None:
            raise NotFound("no such account; Headrace-Create: true opens one", param=HEADER)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[wanted] = (begun + settings().key_cache_seconds, found)
        return found

    def close(self) -> None:
        """End its threads."""
        for each in (self._lookups, self._openings, self._acts):
            each.close()


def _find(wanted: Sequence[Named]) -> Sequence[Stood | InvalidParameter | None]:
    with transaction() as conn:
        return acting.find(conn, wanted)


def _create(wanted: Sequence[Named]) -> Sequence[Stood | Exception | None]:
    made: list[Stood | Exception | None] = []
    for each in wanted:
        try:
            with certain() as conn:
                made.append(acting.create(conn, each))
        except InvalidParameter as error:
            made.append(error)
    return made


def _record(acts: Sequence[ServerAct]) -> Sequence[None]:
    with certain() as conn:
        acting.record_acts(conn, acts)
    return [None] * len(acts)
