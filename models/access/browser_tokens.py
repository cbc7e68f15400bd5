"""Browser tokens: a part of what an account may do, for minutes, in a page that anybody can read.

A token is a key's or a person's, narrowed: it is never more than whoever made it is at the moment of its use, and it ends with
them. Whatever it orders is taken from its own credits, under the account's lock, in the transaction that reserves the account's;
what comes back of an order is the account's and not the token's, so that a page never has more than it was given.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Column, LargeBinary, Text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.errors import DomainError, InvalidInput, NotAuthenticated, NotFound, TokenSpent
from models.absence import refuse_absent
from models.access import api_keys
from models.access.api_keys import hash_of, make_secret
from models.access.holders import find_current_role
from models.access.scopes import SCOPE_OF_RIGHT, Caller, Reach, Right, check, check_model, scopes_of
from models.columns import UTC_TIME, counter, created_at, moment

BEGINNING = "hrt_"
MIN_SECONDS, USUAL_SECONDS, MAX_SECONDS = 60, 600, 3600
MAX_LIVING = 1000  # of an account
KEPT_HOURS = 24  # after its end, to be looked at


class BrowserToken(SQLModel, table=True):
    """A token; `key_id` is the key that made it, maybe a server's that acts for the account. None: a person who has signed in."""

    __tablename__ = "browser_tokens"
    __table_args__ = (
        CheckConstraint("length(hash) = 32", name="hash"),
        CheckConstraint("may <@ '{read,stream,generate}' and cardinality(may) > 0", name="may"),
        # What orders has a limit, and none is ever passed, whatever counts.
        CheckConstraint("spent >= 0 and spent <= coalesce(credits, 0)", name="credits"),
        CheckConstraint("credits is not null or not 'generate' = any(may)", name="purse"),
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False, index=True)
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    may: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    key_id: UUID | None = Field(default=None, nullable=True)
    job_id: UUID | None = Field(default=None, nullable=True)
    model_id: str | None = Field(default=None, sa_type=Text, nullable=True)
    credits: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    spent: int = counter()
    created_at: datetime = created_at()
    expires_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False, index=True))
    revoked_at: datetime | None = moment()


# Of a token `t`, as far as its own row says it.
LIVING = "(t.revoked_at is null and t.expires_at > app_now())"


class NewToken(NamedTuple):
    """A token that somebody wants. Neither a job nor a model: it is for the whole account."""

    may: Collection[Right]
    job_id: UUID | None = None
    model_id: str | None = None
    credits: int | None = None
    seconds: int = USUAL_SECONDS


class TokenRow(NamedTuple):
    """A token as it is listed: never its secret."""

    id: UUID
    account: UUID
    may: list[Right]
    job: UUID | None
    model: str | None
    credits: int | None
    spent: int
    made_by: UUID | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


_SHOWN = "id, account_id, may, job_id, model_id, credits, spent, key_id, created_at, expires_at, revoked_at"


def check_wanted(wanted: NewToken) -> None:
    """What makes no sense, or opens a purse. Raises InvalidInput that names the field."""
    if wanted.job_id is not None and wanted.model_id is not None:
        raise InvalidInput("model: a token is for one job or for one model, not for both", param="model")
    if "generate" not in wanted.may:
        if wanted.credits is not None:
            raise InvalidInput("credits: they are for a token that may generate", param="credits")
    elif wanted.credits is None:
        raise InvalidInput("credits: a token that may generate needs a limit", param="credits")
    elif wanted.job_id is not None:
        raise InvalidInput("may: a token for one job orders nothing, so it cannot generate", param="may")


def give_out(conn: Connection[Any], who: Caller, wanted: NewToken) -> tuple[TokenRow, str]:
    """Make a token. Returns it and its secret, which is not kept and cannot be shown again.

    Raises InvalidInput, Forbidden where it would be more than its maker, NotFound, JobForgotten where the account has no such job.
    """
    check_wanted(wanted)
    for right in wanted.may:
        check(who, SCOPE_OF_RIGHT[right])
    if wanted.model_id is not None:
        check_model(who, wanted.model_id)
    find_current_role(conn, who.account_id)  # takes the account's lock
    if (
        wanted.job_id is not None
        and not conn.execute(
            "select 1 from jobs where id = %s and account_id = %s", [wanted.job_id, who.account_id]
        ).fetchone()
    ):
        refuse_absent(conn, wanted.job_id, who.account_id, param="job")
    living = conn.execute(
        f"select count(*) from browser_tokens t where account_id = %s and {LIVING}", [who.account_id]
    ).fetchone()
    if living and living[0] >= MAX_LIVING:
        raise InvalidInput(
            f"the account has {living[0]} tokens that live; the limit is {MAX_LIVING}", limit=MAX_LIVING, size=living[0]
        )
    secret = make_secret(BEGINNING)
    row = conn.execute(
        f"""insert into browser_tokens (id, account_id, hash, may, key_id, job_id, model_id, credits, expires_at)
            values (%s, %s, %s, %s, %s, %s, %s, %s, app_now() + make_interval(secs => %s)) returning {_SHOWN}""",
        [
            uuid7(), who.account_id, hash_of(secret), sorted(set(wanted.may)), who.key_id or who.acting_key, wanted.job_id,
            wanted.model_id, wanted.credits, wanted.seconds,
        ],
    ).fetchone()  # fmt: skip
    assert row is not None  # noqa: S101 - inserted
    return TokenRow(*row), secret


def token_callers(conn: Connection[Any], hashes: Sequence[bytes]) -> list[Caller | None]:
    """Whom each hash speaks for, in order; None for tokens that are unknown, revoked, expired, or whose maker has ended."""
    rows = conn.execute(
        f"""select t.hash, t.id, t.may, t.job_id, t.model_id, t.key_id, a.id, u.id, u.role, u.suspended_at is not null
              from browser_tokens t join accounts a on a.id = t.account_id join users u on u.id = a.user_id
             where t.hash = any(%s) and {LIVING} and u.deleted_at is null and not u.banned""",
        [list(hashes)],
    ).fetchall()
    makers = api_keys.callers_by_id(conn, {row[5] for row in rows if row[5] is not None})
    found: dict[bytes, Caller | None] = {}
    for hashed, token_id, may, job_id, model_id, key_id, account_id, user_id, role, suspended in rows:
        person = Caller(account_id, user_id, None, scopes_of(role), role, suspended=suspended)
        reach = Reach(token_id, frozenset(may), job_id, model_id)
        found[bytes(hashed)] = narrowed(person, person if key_id is None else makers.get(key_id), reach)
    return [found.get(each) for each in hashes]


def narrowed(person: Caller, maker: Caller | None, reach: Reach) -> Caller | None:
    """Who has a token of a person's account: its maker, as they stand, within its reach. None: they may not do it any more. Pure."""
    if maker is None:
        return None
    own = maker.account_id == person.account_id
    if not own and (maker.suspended or "act" not in maker.scopes or maker.role != "admin"):
        return None
    models = maker.models
    if reach.model_id is not None:
        models = frozenset({reach.model_id}) if models is None else models & {reach.model_id}
    return Caller(
        person.account_id, person.user_id, maker.key_id if own else None, maker.scopes & set(SCOPE_OF_RIGHT.values()), "user",
        models, maker.rates, maker.monthly_credits if own else None, person.suspended, None if own else maker.key_id, reach,
    )  # fmt: skip


def list_tokens(
    conn: Connection[Any], account_id: UUID, *, before: UUID | None = None, limit: int = 100
) -> list[TokenRow]:
    """The account's tokens, newest first; those that have ended for KEPT_HOURS more."""
    rows = conn.execute(
        f"""select {_SHOWN} from browser_tokens where account_id = %s and (%s::uuid is null or id < %s)
             order by id desc limit %s""",
        [account_id, before, before, limit],
    ).fetchall()
    return [TokenRow(*row) for row in rows]


def withdraw(conn: Connection[Any], account_id: UUID, token_id: UUID) -> None:
    """Take a token out of use; every process refuses it within KEY_CACHE_SECONDS. Raises NotFound."""
    if not conn.execute(
        """update browser_tokens set revoked_at = coalesce(revoked_at, app_now()) where id = %s and account_id = %s""",
        [token_id, account_id],
    ).rowcount:
        raise NotFound(f"no token {token_id}", param="id")


def forget_tokens(conn: Connection[Any], limit: int) -> int:
    """Delete tokens that ended more than KEPT_HOURS ago. Returns how many."""
    return conn.execute(
        """delete from browser_tokens where id in (
             select id from browser_tokens where expires_at < app_now() - make_interval(hours => %s)
              order by expires_at limit %s)""",
        [KEPT_HOURS, limit],
    ).rowcount


@dataclass(slots=True)
class TokenCredits:
    """What some tokens may still order for, as the orders of one transaction use it up under their accounts' locks."""

    credits: Mapping[UUID, int] = field(default_factory=dict)
    left: dict[UUID, int] = field(default_factory=dict)
    new: dict[UUID, int] = field(default_factory=dict)  # spent by this transaction's orders

    def refusal(self, token_id: UUID, price: int) -> DomainError | None:
        """Why an order cannot be paid."""
        left = self.left.get(token_id)
        if left is None:
            return NotAuthenticated("this token has expired, or was revoked")
        if price > left:
            return TokenSpent(
                f"this job needs {price} credits; this token has {left} left of its {self.credits[token_id]}",
                needed=price, left=left, credits=self.credits[token_id],
            )  # fmt: skip
        return None

    def pay(self, token_id: UUID, price: int) -> None:
        self.left[token_id] -= price
        self.new[token_id] = self.new.get(token_id, 0) + price


def read_credits(conn: Connection[Any], token_ids: Collection[UUID]) -> TokenCredits:
    """What these tokens have left. A token is one account's, whose lock the caller holds."""
    if not token_ids:
        return TokenCredits()
    rows = conn.execute(
        f"select id, credits, credits - spent from browser_tokens t where id = any(%s) and credits is not null and {LIVING}",
        [list(token_ids)],
    ).fetchall()
    return TokenCredits({row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows})


def write_spent(conn: Connection[Any], credits: TokenCredits) -> None:
    """Write down what this transaction's orders spend."""
    if credits.new:
        conn.execute(
            """update browser_tokens t set spent = t.spent + x.credits
                 from unnest(%s::uuid[], %s::bigint[]) as x(id, credits) where t.id = x.id""",
            [list(credits.new), list(credits.new.values())],
        )
