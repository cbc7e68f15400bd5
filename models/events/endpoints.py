"""Webhook endpoints of accounts, and the secrets that sign what is sent there.

`accounts.has_webhooks` says whether an account has an endpoint that is on. It is kept under the account's lock, which
every step that tells an event holds anyway, so that accounts without endpoints pay one column for this.
"""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from psycopg import Connection
from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.addresses import AddressRefused, parse
from common.errors import EndpointDisabled, EndpointLimit, InvalidInput, NotFound, RateLimited
from common.sealing import seal, unseal
from common.settings import settings
from models.columns import created_at, moment
from models.events import kinds
from models.locks import lock_account

MAX_URL_CHARACTERS = 2048
MAX_DESCRIPTION_CHARACTERS = 200
SECRET_BYTES = 32
QUEUES_OF_JOBS = 16  # per account, for the addresses that jobs bring: a bound on what one account can keep busy
PURPOSE = "webhooks"
MAX_TESTS_PER_HOUR = 60  # of one endpoint: each is a row in its log


class WebhookEndpoint(SQLModel, table=True):
    """One address of an account. An empty list of events means all."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        Index(None, "account_id"),
        CheckConstraint(f"length(url) <= {MAX_URL_CHARACTERS} and cardinality(events) <= 32", name="size"),
        CheckConstraint("not enabled or disabled_reason is null", name="disabled_reason"),
        CheckConstraint("(previous_secret is null) = (previous_until is null)", name="previous"),
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    url: str = Field(sa_type=Text, nullable=False)
    description: str = Field(default="", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": ""})
    events: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    secret: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    previous_secret: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    previous_until: datetime | None = moment()
    enabled: bool = Field(
        default=True, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": text("true")}
    )
    disabled_reason: str | None = Field(default=None, sa_type=Text, nullable=True)
    failing_since: datetime | None = moment()
    tests: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "0"})
    tests_since: datetime | None = moment()  # of the hour in which they are counted
    created_at: datetime = created_at()


class WebhookSecret(SQLModel, table=True):
    """An account's default secret: it signs what goes to addresses that jobs bring."""

    __tablename__ = "webhook_secrets"
    __table_args__ = (CheckConstraint("(previous_secret is null) = (previous_until is null)", name="previous"),)

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    secret: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    previous_secret: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    previous_until: datetime | None = moment()
    created_at: datetime = created_at()


class EndpointRow(NamedTuple):
    """An endpoint as its owner sees it."""

    id: UUID
    url: str
    description: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    failing_since: datetime | None
    previous_secret_until: datetime | None
    created_at: datetime


_SHOWN = "id, url, description, events, enabled, disabled_reason, failing_since, previous_until, created_at"


def checked_url(url: str, param: str = "url") -> str:
    """An address that may be delivered to, as far as can be told without resolving it. Raises InvalidInput."""
    if len(url) > MAX_URL_CHARACTERS:
        raise InvalidInput(f"{param} has {len(url)} characters; the limit is {MAX_URL_CHARACTERS}", param=param)
    try:
        parse(url, settings().allow_private_addresses)
    except AddressRefused as error:
        raise InvalidInput(f"{param}: {error.message}", param=param) from None
    return url


def for_job(account_id: UUID, url: str, events: Sequence[str] | None, *, dialect: str | None = None) -> dict[str, Any]:
    """What a job keeps of the address it brings. Raises InvalidInput. `dialect`: in whose words it is told there, None: ours.

    Deliveries of one queue go one after the other. A queue is chosen by the address's origin, out of so many per account.
    """
    origin = urlsplit(checked_url(url, "webhook")).netloc.rpartition("@")[2].lower()
    queue = job_queues(account_id)[uuid5(NAMESPACE_URL, origin).int % QUEUES_OF_JOBS]
    kept = {"url": url, "events": list(dict.fromkeys(events or kinds.JOB_ENDS)), "queue": str(queue)}
    return kept if dialect is None else {**kept, "dialect": dialect}


def for_job_again(account_id: UUID, kept: dict[str, Any] | None) -> dict[str, Any] | None:
    """The same address for a job that is ordered again, looked at anew: what an ended job keeps is in the words, and by the rules,
    of its time. Raises InvalidInput.
    """
    return kept and for_job(account_id, kept["url"], kept["events"], dialect=kept.get("dialect"))


def job_queues(account_id: UUID) -> list[UUID]:
    """The queues of an account's deliveries to addresses that jobs brought."""
    return [uuid5(account_id, f"job queue {number}") for number in range(QUEUES_OF_JOBS)]


def new_secret() -> str:
    """`whsec_` and standard base64, as Standard Webhooks has it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def create(
    conn: Connection[Any], account_id: UUID, url: str, events: Sequence[str], description: str = ""
) -> tuple[EndpointRow, str]:
    """Make an endpoint. Returns it with its secret, which is shown this once. Raises EndpointLimit, InvalidInput."""
    checked_url(url)
    lock_account(conn, account_id)
    count = conn.execute("select count(*) from webhook_endpoints where account_id = %s", [account_id]).fetchone()
    if count and count[0] >= settings().webhook_endpoints_max:
        raise EndpointLimit(f"an account has at most {settings().webhook_endpoints_max} webhook endpoints")
    secret = new_secret()
    row = conn.execute(
        f"""insert into webhook_endpoints (id, account_id, url, description, events, secret)
            values (%s, %s, %s, %s, %s, %s) returning {_SHOWN}""",
        [uuid7(), account_id, url, description, list(dict.fromkeys(events)), seal(PURPOSE, secret)],
    ).fetchone()
    assert row is not None  # noqa: S101 - inserted
    refresh_has_webhooks(conn, account_id)
    return EndpointRow(*row), secret


def list_endpoints(
    conn: Connection[Any], account_id: UUID, *, after: UUID | None = None, limit: int = 100
) -> list[EndpointRow]:
    """The account's endpoints, oldest first, from the one after `after`."""
    rows = conn.execute(
        f"""select {_SHOWN} from webhook_endpoints where account_id = %s and (%s::uuid is null or id > %s)
             order by id limit %s""",
        [account_id, after, after, limit],
    ).fetchall()
    return [EndpointRow(*row) for row in rows]


def find(conn: Connection[Any], account_id: UUID, endpoint_id: UUID) -> EndpointRow:
    """One of the account's endpoints. Raises NotFound."""
    row = conn.execute(
        f"select {_SHOWN} from webhook_endpoints where id = %s and account_id = %s", [endpoint_id, account_id]
    ).fetchone()
    if row is None:
        raise NotFound(f"no webhook {endpoint_id}", param="id")
    return EndpointRow(*row)


def change(
    conn: Connection[Any],
    account_id: UUID,
    endpoint_id: UUID,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
) -> EndpointRow:
    """Change what is given. Switching it on forgets why it was off. Raises NotFound, InvalidInput."""
    if url is not None:
        checked_url(url)
    lock_account(conn, account_id)
    row = conn.execute(
        f"""update webhook_endpoints e set url = coalesce(%(url)s, url), events = coalesce(%(events)s, events),
                   description = coalesce(%(description)s, description), enabled = coalesce(%(enabled)s, enabled),
                   disabled_reason = case %(enabled)s::boolean when true then null when false then 'switched off'
                                     else disabled_reason end,
                   failing_since = case when %(enabled)s then null else failing_since end
             where id = %(id)s and account_id = %(account_id)s returning {_SHOWN}""",
        {
            "url": url, "events": None if events is None else list(dict.fromkeys(events)), "description": description,
            "enabled": enabled, "id": endpoint_id, "account_id": account_id,
        },
    ).fetchone()  # fmt: skip
    if row is None:
        raise NotFound(f"no webhook {endpoint_id}", param="id")
    refresh_has_webhooks(conn, account_id)
    return EndpointRow(*row)


def remove(conn: Connection[Any], account_id: UUID, endpoint_id: UUID) -> None:
    """Forget an endpoint. What waits to be sent there is given up by the sender. Raises NotFound."""
    lock_account(conn, account_id)
    removed = conn.execute("delete from webhook_endpoints where id = %s and account_id = %s", [endpoint_id, account_id])
    if not removed.rowcount:
        raise NotFound(f"no webhook {endpoint_id}", param="id")
    refresh_has_webhooks(conn, account_id)


def count_test(conn: Connection[Any], account_id: UUID, endpoint_id: UUID) -> None:
    """Count a test of an endpoint. Raises RateLimited, NotFound, EndpointDisabled."""
    if not find(conn, account_id, endpoint_id).enabled:
        raise EndpointDisabled("this endpoint is switched off; switch it on first", param="id")
    counted = conn.execute(
        f"""update webhook_endpoints set
                   tests = case when tests_since > app_now() - interval '1 hour' then tests + 1 else 1 end,
                   tests_since = case when tests_since > app_now() - interval '1 hour' then tests_since else app_now() end
             where id = %s and (tests < {MAX_TESTS_PER_HOUR} or coalesce(tests_since <= app_now() - interval '1 hour', true))""",
        [endpoint_id],
    ).rowcount
    if not counted:
        raise RateLimited(f"a webhook can be tested {MAX_TESTS_PER_HOUR} times an hour", retry_after=60)


def rotate(conn: Connection[Any], account_id: UUID, endpoint_id: UUID) -> tuple[EndpointRow, str]:
    """A new secret; the one before signs besides it for WEBHOOK_ROTATION_HOURS. Raises NotFound."""
    secret = new_secret()
    row = conn.execute(
        f"""update webhook_endpoints set secret = %s, previous_secret = secret,
                   previous_until = app_now() + make_interval(secs => %s)
             where id = %s and account_id = %s returning {_SHOWN}""",
        [seal(PURPOSE, secret), settings().webhook_rotation_hours * 3600, endpoint_id, account_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no webhook {endpoint_id}", param="id")
    return EndpointRow(*row), secret


def default_secrets(conn: Connection[Any], account_id: UUID) -> list[str]:
    """The account's default secret, made at its first use, and the one before it while it still signs."""
    conn.execute(
        "insert into webhook_secrets (account_id, secret) values (%s, %s) on conflict do nothing",
        [account_id, seal(PURPOSE, new_secret())],
    )
    row = conn.execute(
        """select secret, case when previous_until > app_now() then previous_secret end from webhook_secrets
            where account_id = %s""",
        [account_id],
    ).fetchone()
    assert row is not None  # noqa: S101 - just made
    return opened(*row)


def rotate_default(conn: Connection[Any], account_id: UUID) -> str:
    """A new default secret; the one before signs besides it for a while."""
    default_secrets(conn, account_id)
    secret = new_secret()
    conn.execute(
        """update webhook_secrets set secret = %s, previous_secret = secret,
                  previous_until = app_now() + make_interval(secs => %s) where account_id = %s""",
        [seal(PURPOSE, secret), settings().webhook_rotation_hours * 3600, account_id],
    )
    return secret


def opened(*sealed: bytes | None) -> list[str]:
    """The secrets that can be read, newest first."""
    found = [unseal(PURPOSE, each) for each in sealed if each is not None]
    return [each for each in found if each is not None]


def refresh_has_webhooks(conn: Connection[Any], account_id: UUID) -> None:
    """Set `has_webhooks` to what is so. The caller holds the account's lock."""
    conn.execute(
        """update accounts a set has_webhooks = exists (
             select 1 from webhook_endpoints e where e.account_id = a.id and e.enabled) where id = %s""",
        [account_id],
    )


def mail_address(conn: Connection[Any], account_id: UUID) -> str | None:
    """Where an account's notices go by mail."""
    row = conn.execute(
        "select u.email from users u join accounts a on a.user_id = u.id where a.id = %s", [account_id]
    ).fetchone()
    return row[0] if row else None
