"""A running system for all tests of a file: real API, worker, scheduler and sender, and a receiver of webhooks."""

import os
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

import pytest
from headrace_client import AsyncHeadrace, Headrace

from cli.commands.identity import operator
from cli.embedded.servers import Addresses
from common.redis_client import redis_client
from models.access import api_keys
from models.access.scopes import SCOPES
from models.accounts import accounts
from models.db import transaction
from tests.conftest import environment, fresh_database, new_system
from tests.receivers import Receiver, receivers
from tests.support import System, account, key_of, model

OUTAGE_SECONDS = int(os.environ.get("OUTAGE_SECONDS", "1"))  # 30 by hand
LARGEST_UPLOAD_BYTES = 256 << 20


class Running(NamedTuple):
    """A system that runs, and where its webhooks may go."""

    system: System
    receiver: Receiver

    def client(self, account_id: UUID, base_url: str | None = None) -> Headrace:
        """A client of an account. It is not patient with a system that runs on this machine."""
        return Headrace(
            key_of(account_id), base_url or self.system.url, patience_seconds=30 + OUTAGE_SECONDS, silence_seconds=3
        )

    def waiting(self, account_id: UUID, base_url: str | None = None) -> AsyncHeadrace:
        """The same, awaited."""
        return AsyncHeadrace(
            key_of(account_id), base_url or self.system.url, patience_seconds=30 + OUTAGE_SECONDS, silence_seconds=3
        )


@pytest.fixture(scope="module")
def running(stack: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("client")
    with redis_client(stack.redis_url, timeout_seconds=15) as client:
        client.flushall()
    settings = {
        "SKETCH_BOOK": str(folder / "sketch.db"), "HEARTBEAT_SECONDS": "1",
        "MAX_UPLOAD_BYTES": str(LARGEST_UPLOAD_BYTES),
    }  # fmt: skip
    with fresh_database(stack), environment(settings), receivers(1) as [receiver]:
        make_models()
        with new_system(folder / "sketch.db", folder / "state") as system:
            system.start("api", "worker", "scheduler", "deliver", api=settings)
            yield Running(system, receiver)


def make_models() -> None:
    """Models that do what tests are about."""
    model("quick")
    model("slow", options={"pending": True, "ready_seconds": 4, "poll_after_seconds": 0.3})
    model("endless", options={"pending": True, "ready_seconds": 600, "poll_after_seconds": 0.3}, timeout_seconds=900)
    model("broken", options={"fail": "permanent"}, max_attempts=1)
    picture = {"type": "string", "format": "image", "maxLength": 900_000}
    words = {"prompt": {"type": "string"}, "image": picture}
    schema = {"type": "object", "additionalProperties": False, "properties": words}
    model("editor", input_schema=schema)
    model("dear", price={"unit": "job", "credits": 50})


def admin_key() -> str:
    """A key that may everything, acting for others too."""
    who = account(amount=1000, plan="enterprise")
    with transaction() as conn:
        (subject,) = conn.execute(
            "select subject from users join accounts a on a.user_id = users.id where a.id = %s", [who]
        ).fetchone() or ("",)
        (user,) = accounts.users(conn, issuer="test", subject=subject)
        accounts.change_role(conn, operator(), user.id, "admin")
        return api_keys.create(conn, who, api_keys.NewKey("all", scopes=SCOPES))[1]
