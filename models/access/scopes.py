"""Who may do what. Pure: every check is here, and every route says which of them it needs."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args
from uuid import UUID

from common.errors import Forbidden

Scope = Literal["generate", "read", "write", "delete", "admin", "act"]
Role = Literal["user", "pro", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
ROLES: tuple[Role, ...] = get_args(Role)
# What each scope is for, as the documentation says it.
MEANING: dict[Scope, str] = {
    "generate": "order, cancel and repeat jobs",
    "read": "look at jobs, results, credits and settings",
    "write": "make and change keys, webhooks and settings",
    "delete": "delete results, files and settings",
    "admin": "act as an operator; only for users whose role is admin",
    "act": "act for other accounts, for a product's server; only for users whose role is admin",
}


class Rate(NamedTuple):
    """How often keys that rotation made of one another, and those that they made, may ask in a minute. `root_id` names their root."""

    root_id: UUID
    per_minute: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request acts for, and what it may do. `key_id` is None for a person who signed in."""

    account_id: UUID
    user_id: UUID
    key_id: UUID | None
    scopes: frozenset[str]
    role: Role
    models: frozenset[str] | None = None  # the key's allow-list; None: all
    rates: tuple[Rate, ...] = ()  # of the key's line, and of the keys that made it
    monthly_credits: int | None = None  # the key's budget
    suspended: bool = False
    acting_key: UUID | None = None  # by which a product's server acts for this account; `key_id` is None then


def scopes_of(role: Role) -> frozenset[str]:
    """What somebody who signed in may do: all, but only an admin what admins do."""
    return frozenset(SCOPES if role == "admin" else set(SCOPES) - {"admin", "act"})


def check(who: Caller, scope: Scope) -> None:
    """Raises Forbidden where the caller lacks the scope; admin needs the role besides."""
    if scope not in who.scopes:
        raise Forbidden(f"this needs the scope {scope!r}: {MEANING[scope]}", needed=scope)
    if scope in ("admin", "act") and who.role != "admin":
        raise Forbidden("this needs the role 'admin'", needed="admin")


def may_edit(who: Caller) -> bool:
    """Whether the caller may order what the house pays for, such as summaries."""
    return who.role == "admin" and "admin" in who.scopes


def check_edit(who: Caller) -> None:
    """Raises Forbidden where the caller may not edit."""
    if not may_edit(who):
        raise Forbidden("this is for those who edit: it needs the role and the scope 'admin'", needed="admin")


def check_model(who: Caller, model_id: str) -> None:
    """Raises Forbidden where the key is for other models."""
    if who.models is not None and model_id not in who.models:
        raise Forbidden(f"this key is not for the model {model_id!r}", param="model", needed=model_id)


def below(role: Role, other: Role) -> bool:
    """Whether a role is less than another."""
    return ROLES.index(role) < ROLES.index(other)


def daily_texts_left(limit: int | None, used: int) -> int | None:
    """How many text generations the day still has (spec D4); None: without limit."""
    return None if limit is None else max(0, limit - used)
