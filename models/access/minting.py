"""Which keys may be made, and by whom: a new or rotated key is at most its maker, in every respect.

Whoever makes a key is read anew, by id, under the account's lock and in the transaction that makes it: what a process
remembers of a caller may be seconds old. The decisions are pure: they get the maker as it stands.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from psycopg import Connection

from common.errors import Forbidden, NotAuthenticated, NotFound
from models.access import api_keys, holders
from models.access.api_keys import NewKey, Origin, Standing
from models.access.scopes import Caller, Role, scopes_of

Limit = TypeVar("Limit", int, datetime)

MAX_MAKERS = 10  # a key made by a key made by a key …


class Maker(NamedTuple):
    """Who makes a key, as they stand now. `key` is None for a person who has signed in, whom only their role limits."""

    role: Role
    key: Standing | None

    def scopes(self) -> Collection[str]:
        """What they may hand out: never more than their role, whatever their key once had."""
        of_role = scopes_of(self.role)
        return of_role if self.key is None else of_role & set(self.key.may.scopes)

    def ends_at(self) -> datetime | None:
        return None if self.key is None else self.key.ends_at


def mint(conn: Connection[Any], who: Caller, wanted: NewKey) -> tuple[UUID, str]:
    """Make a key for a caller; what is not asked for is the caller's own. Returns its id and the secret.

    Raises Forbidden that names the field in which it would be more than its maker, and what `keys.create` does.
    """
    maker = _maker(conn, who)
    return api_keys.create(conn, who.account_id, at_most(maker, wanted), origin=_origin(maker))


def rotate(conn: Connection[Any], who: Caller, key_id: UUID, overlap_hours: int) -> tuple[UUID, str]:
    """Make a key that may do the same as one of the caller's account. Its secret is handed out, so it must be the
    caller's own key, or one that the caller could have made. Raises Forbidden, NotFound.
    """
    maker = _maker(conn, who)
    target = api_keys.standing(conn, who.account_id, key_id)
    if target is None:
        raise NotFound(f"no key {key_id}", param="id")
    check_rotation(maker, target)
    return api_keys.rotate(conn, who.account_id, key_id, overlap_hours, ends_by=maker.ends_at())


def _maker(conn: Connection[Any], who: Caller) -> Maker:
    role = holders.find_current_role(conn, who.account_id)
    if who.key_id is None:
        return Maker(role, None)
    key = api_keys.standing(conn, who.account_id, who.key_id)
    if key is None:
        raise NotAuthenticated("this API key is not valid, has expired, or was revoked")
    return Maker(role, key)


def _origin(maker: Maker) -> Origin:
    if maker.key is None:
        return Origin()
    makers = [*maker.key.origin.makers, maker.key.id]
    if len(makers) > MAX_MAKERS:
        raise Forbidden(f"this key was made by a key, {MAX_MAKERS} times over; the next must come from one of them")
    return Origin(makers, maker.key.lines())


def at_most(maker: Maker, wanted: NewKey) -> NewKey:
    """The key that comes of a wish: what it does not say is as the maker has it. Raises Forbidden."""
    limits = maker.key.may if maker.key is not None else NewKey("")
    _no_more(wanted.scopes, maker.scopes(), "scopes")
    return wanted._replace(
        models=_among(wanted.models, limits.models),
        per_minute=_least(wanted.per_minute, limits.per_minute, "per_minute"),
        monthly_credits=_least(wanted.monthly_credits, limits.monthly_credits, "monthly_credits"),
        expires_at=_least(wanted.expires_at, maker.ends_at(), "expires_at"),
    )


def check_rotation(maker: Maker, target: Standing) -> None:
    """Raises Forbidden where the caller would get the secret of a key that is more than the caller."""
    _no_more(target.may.scopes, maker.scopes(), "scopes")
    if maker.key is None or maker.key.id == target.id:
        return
    limits = maker.key.may
    if at_most(maker, target.may) != target.may:  # it lacks a limit that the caller has
        raise Forbidden("that key may do more than yours: only itself, or who could make it, may rotate it", param="id")
    # A limit that is counted is not the caller's unless it is counted for the caller's line as well.
    counted = limits.monthly_credits is not None or limits.per_minute is not None
    if counted and maker.key.lines()[-1] not in target.lines():
        raise Forbidden("that key has a budget or a rate of its own, which yours would get besides its own", param="id")


def _no_more(wanted: Collection[str], most: Collection[str], param: str) -> None:
    more = sorted(set(wanted) - set(most))
    if more:
        raise Forbidden(f"a key may have no more than you have; not {', '.join(more)}", param=param)


def _among(wanted: Collection[str] | None, most: Collection[str] | None) -> Collection[str] | None:
    if most is None or wanted is None:
        return most if wanted is None else wanted
    _no_more(wanted, most, "models")
    return wanted


def _least(wanted: Limit | None, most: Limit | None, param: str) -> Limit | None:
    """The maker's own limit where none is asked for. Raises Forbidden for more than that."""
    if most is None or wanted is None:
        return most if wanted is None else wanted
    if wanted > most:
        raise Forbidden(f"a key may have no more than you have; {param} is at most {most}", param=param)
    return wanted
