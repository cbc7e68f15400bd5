"""Who may do what. Pure: every check is here, and every route says which of them it needs."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args
from uuid import UUID

from common.errors import Forbidden, NeedsPro

Scope = Literal["generate", "read", "write", "delete", "edit", "admin", "act"]
Role = Literal["user", "pro", "editor", "admin"]  # each may what those before it may
Right = Literal["read", "stream", "generate"]  # of a browser token
SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_SCOPES: tuple[Scope, ...] = ("generate", "read", "write", "delete")  # of a new key
ROLES: tuple[Role, ...] = get_args(Role)
# What each scope is for, as the documentation says it.
MEANING: dict[Scope, str] = {
    "generate": "order, cancel and repeat jobs",
    "read": "look at jobs, results, credits and settings",
    "write": "make and change keys, webhooks and settings, keep results",
    "delete": "delete results, files and settings",
    "edit": "write and publish articles and courses; only for users whose role is editor or admin",
    "admin": "act as an operator; only for users whose role is admin",
    "act": "act for other accounts, for a product's server; only for users whose role is admin",
}
# Scopes that are good for nothing without a role.
NEEDED_ROLE: dict[Scope, Role] = {"edit": "editor", "admin": "admin", "act": "admin"}


# What its maker needs for it, to hand it out and for as long as it is used.
SCOPE_OF_RIGHT: dict[Right, Scope] = {"read": "read", "stream": "read", "generate": "generate"}


class Reach(NamedTuple):
    """What a browser token may do at most, and with what: one job, the jobs of one model, or all of an account."""

    token_id: UUID
    may: frozenset[Right]
    job_id: UUID | None = None
    model_id: str | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether it is for less than the account."""
        return self.job_id is not None or self.model_id is not None

    def in_words(self) -> str:
        """What it may do, as its refusals say it."""
        what = "in this account"
        if self.job_id is not None:
            what = f"the job {self.job_id} alone"
        elif self.model_id is not None:
            what = f"the model {self.model_id!r} alone"
        return f"this token may {' and '.join(sorted(self.may))}: {what}"


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
    reach: Reach | None = None  # of the browser token that was sent; whose maker's key is `key_id` or `acting_key`


def scopes_of(role: Role) -> frozenset[str]:
    """What somebody who signed in may do: all that needs no greater role."""
    return frozenset(scope for scope in SCOPES if not below(role, NEEDED_ROLE.get(scope, "user")))


def check(who: Caller, scope: Scope) -> None:
    """Raises Forbidden where the caller lacks the scope, or the role that it needs besides."""
    if scope not in who.scopes:
        raise Forbidden(f"this needs the scope {scope!r}: {MEANING[scope]}", needed=scope)
    role = NEEDED_ROLE.get(scope, "user")
    if below(who.role, role):
        raise Forbidden(f"this needs the role {role!r}", needed=role)


def check_model(who: Caller, model_id: str) -> None:
    """Raises Forbidden where the key or token is for other models."""
    if who.models is not None and model_id not in who.models:
        detail = f"this key is not for the model {model_id!r}" if who.reach is None else who.reach.in_words()
        raise Forbidden(detail, param="model", needed=model_id)


def check_sees(reach: Reach | None, job_id: UUID, model_id: str) -> None:
    """Raises Forbidden where a browser token is for another job or model. None: no token was sent."""
    if reach is not None and not sees_job(reach, job_id, model_id):
        raise Forbidden(reach.in_words(), param="id", may=sorted(reach.may))


def sees_job(reach: Reach, job_id: UUID, model_id: str) -> bool:
    """Whether a job is within a token's reach."""
    return reach.job_id in (None, job_id) and reach.model_id in (None, model_id)


def may_edit(who: Caller) -> bool:
    """Whether somebody writes what others read and learn."""
    return not below(who.role, "editor")


def check_editor(who: Caller) -> None:
    """Raises Forbidden for who does not edit."""
    if not may_edit(who):
        raise Forbidden("this needs the role 'editor'", needed="editor")


def check_pro(who: Caller) -> None:
    """Raises NeedsPro for who is less than pro."""
    if below(who.role, "pro"):
        raise NeedsPro("this needs the role 'pro'; a paid plan gives it", needed="pro")


def below(role: Role, other: Role) -> bool:
    """Whether a role is less than another."""
    return ROLES.index(role) < ROLES.index(other)


def may_read_on(role: Role | None, *, premium: bool) -> bool:
    """Whether somebody gets the whole of an article, and not its teaser alone. `role` None: nobody knows who it is."""
    return not premium or (role is not None and not below(role, "pro"))


def daily_texts_left(limit: int | None, used: int) -> int | None:
    """How many text generations the day still has (spec D4); None: without limit."""
    return None if limit is None else max(0, limit - used)
