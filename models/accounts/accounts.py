"""Users and the accounts that pay."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import ARRAY, BigInteger, Boolean, CheckConstraint, Column, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.errors import NotFound
from models.access import api_keys, audit_log, scopes
from models.access.audit_log import By
from models.access.scopes import ROLES, Role
from models.columns import counter, created_at, in_list, moment
from models.credits import ledger
from models.locks import lock_account


class User(SQLModel, table=True):
    """A person, known by who vouches for them (`issuer`) and their id there (`subject`).

    A deleted person stays as a tombstone without name and address, so that a late event brings nobody back to life.
    `erased_at`: all that was theirs has been cleared away.
    """

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("issuer", "subject"),
        CheckConstraint(in_list("role", *ROLES), name="role"),
        Index("ix_users_email", "email", postgresql_where=text("email is not null")),
        Index("ix_users_subject", "subject"),
        Index("ix_users_to_shut", "id", postgresql_where=text("(banned or suspended_at is not null) <> shut_marked")),
        Index("ix_users_to_erase", "deleted_at", postgresql_where=text("deleted_at is not null and erased_at is null")),
    )

    id: UUID = Field(primary_key=True)
    issuer: str = Field(sa_type=Text, nullable=False)
    subject: str = Field(sa_type=Text, nullable=False)
    email: str | None = Field(default=None, sa_type=Text, nullable=True)
    role: str = Field(default="user", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": "user"})
    first_name: str | None = Field(default=None, sa_type=Text, nullable=True)
    last_name: str | None = Field(default=None, sa_type=Text, nullable=True)
    banned: bool = Field(default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": "false"})
    updated_at_provider: datetime | None = moment()  # of the newest profile seen, by the issuer's clock
    created_at: datetime = created_at()
    deleted_at: datetime | None = moment()
    erased_at: datetime | None = moment()
    suspended_at: datetime | None = moment()  # by an operator; nobody is let in meanwhile
    # What they show to others is marked as shut: follows `banned` and `suspended_at` by a duty.
    shut_marked: bool = Field(
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": text("false")}
    )
    preferences: dict[str, Any] = Field(  # what was chosen of `models.identity.profiles.Preferences`
        default={}, sa_column=Column(JSONB, nullable=False, server_default=text("'{}'"))
    )


class Account(SQLModel, table=True):
    """Who pays. `available`, `reserved`, `slots_in_use`, `storage_bytes` and `expected_bytes` are sums kept under this row's lock; the
    audit proves them. `event_number` is the number of the account's newest event, without gaps.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("available >= 0 and reserved >= 0 and debt >= 0", name="credits_not_negative"),
        CheckConstraint("slots_in_use >= 0 and storage_bytes >= 0 and event_number >= 0", name="counts_not_negative"),
        CheckConstraint("expected_bytes >= 0", name="expected_not_negative"),
        {"postgresql_with": {"fillfactor": "70"}},  # every submit and end updates a row in place
    )

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", unique=True, nullable=False)
    plan_id: str = Field(foreign_key="plans.id", sa_type=Text, nullable=False)
    available: int = counter()
    reserved: int = counter()
    debt: int = counter()
    slots_in_use: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "0"})
    storage_bytes: int = counter()
    expected_bytes: int = counter()  # what its living jobs are taken to bring (models/jobs/submit.py)
    event_number: int = counter()
    has_webhooks: bool = Field(  # kept by models.events.endpoints
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": text("false")}
    )
    credit_alerts: list[int] | None = Field(  # below which its credits are told of; null: LOW_CREDITS
        default=None, sa_column=Column(ARRAY(BigInteger), nullable=True)
    )
    has_label_limits: bool = Field(  # kept by models.credits.label_limits
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": text("false")}
    )
    created_at: datetime = created_at()


class UserRow(NamedTuple):
    """A user and what they are on."""

    id: UUID
    account_id: UUID
    issuer: str
    subject: str
    email: str | None
    role: Role
    plan: str
    created_at: datetime
    suspended_at: datetime | None


_USER = """select u.id, a.id, u.issuer, u.subject, u.email, u.role, a.plan_id, u.created_at, u.suspended_at
             from users u join accounts a on a.user_id = u.id"""


def users(
    conn: Connection[Any],
    *,
    before: UUID | None = None,
    email: str | None = None,
    issuer: str | None = None,
    subject: str | None = None,
    key_prefix: str | None = None,
    limit: int = 50,
) -> list[UserRow]:
    """Users, newest first: all, or those with this address, this id at their identity provider (of any issuer, or
    one), a key that begins so."""
    rows = conn.execute(
        f"""{_USER} where (%(before)s::uuid is null or u.id < %(before)s) and (%(email)s::text is null or u.email = %(email)s)
              and (%(subject)s::text is null or u.subject = %(subject)s)
              and (%(issuer)s::text is null or u.issuer = %(issuer)s)
              and (%(prefix)s::text is null or a.id in (select k.account_id from api_keys k where k.prefix = %(prefix)s))
            order by u.id desc limit %(limit)s""",
        {"before": before, "email": email, "issuer": issuer, "subject": subject, "prefix": key_prefix, "limit": limit},
    ).fetchall()
    return [UserRow(*row) for row in rows]


def user(conn: Connection[Any], user_id: UUID) -> UserRow:
    """One user. Raises NotFound."""
    row = conn.execute(f"{_USER} where u.id = %s", [user_id]).fetchone()
    if row is None:
        raise NotFound(f"no user {user_id}", param="id")
    return UserRow(*row)


def user_of_account(conn: Connection[Any], account_id: UUID) -> UserRow:
    """Whose account this is. Raises NotFound."""
    row = conn.execute(f"{_USER} where a.id = %s", [account_id]).fetchone()
    if row is None:
        raise NotFound(f"no account {account_id}", param="id")
    return UserRow(*row)


def change_role(conn: Connection[Any], by: By, user_id: UUID, role: Role) -> None:
    """Give a user a role, and write it down. Keys that may more than the new role are revoked: they would come to life
    with the next promotion. Raises NotFound.
    """
    account = conn.execute("select id from accounts where user_id = %s", [user_id]).fetchone()
    if account is not None:
        # First, as everywhere; and a key that is being made with the old role is there then, one made later sees the new role.
        lock_account(conn, account[0])
    row = conn.execute("select role from users where id = %s for update", [user_id]).fetchone()
    if row is None:
        raise NotFound(f"no user {user_id}", param="id")
    if row[0] != role:
        conn.execute("update users set role = %s where id = %s", [role, user_id])
        audit_log.record(conn, by, "user.role", str(user_id), before=row[0], after=role)
    if account is not None and scopes.below(role, row[0]):
        api_keys.revoke_beyond(conn, account[0], scopes.scopes_of(role))


def open_account(
    conn: Connection[Any], *, issuer: str, subject: str, default_plan: str, email: str | None = None
) -> tuple[UUID, bool]:
    """Find or make the user whom `issuer` knows as `subject`, with an account on the default plan and its sign-up credits.

    Returns the account's id and whether it is new; however many callers race, one user, one account, one grant come out.
    """
    user_id = uuid7()
    made = conn.execute(
        """insert into users (id, issuer, subject, email) values (%s, %s, %s, %s)
           on conflict (issuer, subject) do nothing returning id""",
        [user_id, issuer, subject, email],
    ).fetchone()
    if made is None:
        row = conn.execute(
            """select a.id from accounts a join users u on u.id = a.user_id where u.issuer = %s and u.subject = %s""",
            [issuer, subject],
        ).fetchone()
        assert row is not None  # noqa: S101 - user and account are made in one transaction
        return row[0], False
    plan = conn.execute("select credits, granted from plans where id = %s", [default_plan]).fetchone()
    if plan is None:
        raise NotFound(f"no plan {default_plan!r}", param="plan")
    account_id = uuid7()
    conn.execute("insert into accounts (id, user_id, plan_id) values (%s, %s, %s)", [account_id, user_id, default_plan])
    if plan[1] == "once" and plan[0]:
        ledger.grant(conn, account_id, kind="signup", amount=plan[0], ref="signup")
    return account_id, True
