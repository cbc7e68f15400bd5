"""What tests share: accounts, models made to order, orders, a running system, proof of the books."""

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from uuid_utils.compat import uuid7

from api.intake import receiving
from cli.embedded.processes import Processes
from models.access import api_keys
from models.access.scopes import Caller
from models.accounts import accounts
from models.catalogue import entries
from models.catalogue.entries import Entry, Offer
from models.catalogue.prices import PriceRule
from models.credits import audit, ledger
from models.db import transaction
from models.files.uploads import NewUpload, UploadRow
from models.jobs import steps, submit
from models.jobs.admission import Accepted, Answer, Order
from models.jobs.steps import Claim
from workers.providers.sketch.book import Book

ADMIN_TOKEN = "9d41f07be26c83a5f1e07c4d92b86a3550ce718f"  # the web client's
OWN_SECRET = "2f8b61d04c9ae7735d10b3a8f6e24c9107bd5e38"  # what production takes for a secret

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "prompt": {"type": "string", "maxLength": 200, "default": "test"},
        "width": {"type": "integer", "minimum": 64, "maximum": 4096, "default": 64},
        "height": {"type": "integer", "minimum": 64, "maximum": 4096, "default": 64},
        "count": {"type": "integer", "minimum": 1, "maximum": 8, "default": 1},
        "seed": {"type": "integer", "minimum": 0, "default": 0},
    },
}


def account(*, amount: int = 0, plan: str = "free") -> UUID:
    """A new account with exactly so many credits."""
    with transaction() as conn:
        account_id, _ = accounts.open_account(conn, issuer="test", subject=str(uuid7()), default_plan="starter")
        conn.execute("update accounts set plan_id = %s where id = %s", [plan, account_id])
        if amount:
            ledger.grant(conn, account_id, kind="gift", amount=amount, ref="test")
    return account_id


def key_of(account_id: UUID) -> str:
    """An API key of an account."""
    with transaction() as conn:
        return api_keys.create(conn, account_id, api_keys.NewKey("test"))[1]


def caller(account_id: UUID, *, key: UUID | None = None, budget: int | None = None) -> Caller:
    """Who asks for an account, by a key of it or themselves."""
    (user_id,) = one("select user_id from accounts where id = %s", account_id)
    return Caller(account_id, user_id, key, frozenset({"generate"}), "user", monthly_credits=budget)


def model(
    name: str = "test-model",
    *,
    price: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    **fields: Any,
) -> Offer:
    """A sketch model made to order, current in the database."""
    entry = Entry.model_validate(
        {
            "id": name, "name": name, "kind": "image", "input_schema": SCHEMA,
            "price": PriceRule.model_validate(price or {"unit": "job", "credits": 1}),
            "routes": [{"provider": "sketch", "model": "image", "options": {"instant": True, **(options or {})}}],
            **fields,
        }
    )  # fmt: skip
    with transaction() as conn:
        entries.apply(conn, [entry])
        return entries.offers(conn)[name]


def order(account_id: UUID, offer: Offer, values: dict[str, Any] | None = None, **fields: Any) -> Order:
    """An order, checked."""
    return Order(uuid7(), account_id, offer, offer.checked(values or {}), **fields)


def place(*orders: Order) -> list[Answer]:
    """Submit in one transaction."""
    with transaction() as conn:
        return submit.submit(conn, orders, wait=True)


def placed(account_id: UUID, offer: Offer, values: dict[str, Any] | None = None, **fields: Any) -> UUID:
    """Submit one order that must be accepted. Returns the job's id."""
    answer = place(order(account_id, offer, values, **fields))[0]
    assert isinstance(answer, Accepted), answer
    return answer.job_id


def uploaded(account_id: UUID, chunks: Iterable[bytes]) -> UploadRow:
    """Make a stream of bytes an upload, as the API does. Raises as `receiving.store_stream`."""
    new: NewUpload | UploadRow = receiving.store_stream(account_id, chunks, param="file", known=lambda _digest: None)
    assert isinstance(new, NewUpload)
    return receiving.create_upload(new)


def claimed(job_id: UUID, owner: str = "tester") -> Claim:
    """Claim a job that must be claimable."""
    with transaction() as conn:
        claim = steps.claim(conn, job_id, owner)
    assert claim is not None
    return claim


def balance(account_id: UUID) -> tuple[int, int]:
    """Available and reserved."""
    row = one("select available, reserved from accounts where id = %s", account_id)
    return row[0], row[1]


def one(statement: str, *values: Any) -> tuple[Any, ...]:
    """The one row of a query."""
    with transaction() as conn:
        row: tuple[Any, ...] | None = conn.execute(statement, list(values)).fetchone()
    assert row is not None
    return row


def rows(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    with transaction() as conn:
        return conn.execute(statement, list(values)).fetchall()


def almost(token: str) -> str:
    """A token but for its last character, which is another: a fixed one in its place would be the right one now and then."""
    return token[:-1] + ("0" if token[-1] != "0" else "1")


def lock_waits() -> int:
    """How many sessions on this database wait for a lock."""
    count: int = one(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    )[0]
    return count


def assert_books_are_clean() -> None:
    """The audit finds nothing."""
    with transaction() as conn:
        findings = audit.audit(conn)
    assert not findings, "\n".join(f"{finding.rule}: {finding.rows}" for finding in findings)


def eventually(check: Callable[[], bool], *, seconds: float = 60, what: str = "it") -> None:
    """Wait until something becomes true."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


def status(url: str, *, seconds: float) -> int:
    """How a GET is answered, for who asks often: a client of httpx reads all authorities first, for 30 ms of a core."""
    place = urlsplit(url)
    with closing(HTTPConnection(place.netloc, timeout=seconds)) as connection:
        connection.request("GET", place.path)
        return connection.getresponse().status


class System:
    """Real processes over a test's database."""

    def __init__(self, url: str, book: Path, processes: Processes) -> None:
        self.url = url
        self.book = Book(book)
        self.processes = processes

    def start(self, *names: str, **extra: dict[str, str]) -> None:
        """Start these processes; keywords give one of them more settings."""
        for name in names:
            self.processes.start_one(name, extra.get(name))
        if "api" in names:
            eventually(self._ready, seconds=60, what="the API")

    def _ready(self) -> bool:
        try:
            return status(f"{self.url}/readyz", seconds=2) == 200
        except (OSError, HTTPException):
            return False

    def client(self, account_id: UUID) -> httpx.Client:
        """An HTTP client of an account; what is refused is printed, so that a test that fails says why."""
        return httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {key_of(account_id)}"}, timeout=30,
            event_hooks={"response": [_print_refusal]},
        )  # fmt: skip

    def stop(self) -> None:
        self.processes.stop()


def _print_refusal(response: httpx.Response) -> None:
    if response.is_error:
        response.read()
        print(f"{response.request.method} {response.request.url}: {response.status_code} {response.text[:1_000]}")


def ended(client: httpx.Client, job_id: str, *, seconds: float = 30) -> dict[str, Any]:
    """A job once it has ended."""
    found: dict[str, Any] = {}

    def look() -> bool:
        found.update(client.get(f"/v1/jobs/{job_id}").json())
        return found["status"] in {"succeeded", "failed", "canceled"}

    eventually(look, seconds=seconds, what=f"the end of job {job_id}")
    return found
