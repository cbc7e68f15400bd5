"""`--start`: the whole system for the time of a run, with real servers, API, worker, scheduler and sender, and the settings
that the examples need. Nothing of the user's own servers is touched.
"""

import base64
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import typer

from cli.commands.identity import operator
from cli.commands.local import local_system, wait_for_api
from cli.embedded.locked import AlreadyRunning, hold, private_folder
from cli.embedded.processes import Processes
from cli.embedded.servers import free_ports
from common.env_files import STATE
from common.settings import settings
from models import db
from models.access import api_keys
from models.access.scopes import SCOPES
from models.accounts import accounts
from models.credits import audit
from models.credits.giving import give
from models.db import transaction

DAY = 86_400


class CannotStart(Exception):
    """A server or the API does not start, or another run is under way."""


class Started(NamedTuple):
    """A running system. `broken_rules` is what the audit has to say of its books."""

    url: str
    environment: dict[str, str]
    move_clock: Callable[[int], None]
    broken_rules: Callable[[], list[str]]


@contextmanager
def started(state: Path = STATE / "examples") -> Iterator[Started]:
    """Run everything for the time of the block. Raises CannotStart."""
    try:
        _empty(state)
        with _running(state) as system:
            yield system
    except AlreadyRunning as error:
        raise CannotStart(str(error)) from None
    except typer.Exit:  # what the commands of the same name raise, when they have said why
        raise CannotStart("the system does not run") from None


@contextmanager
def _running(state: Path) -> Iterator[Started]:
    api_port, issuer_port, mail_port, xendit_port = free_ports(4)
    url = f"http://127.0.0.1:{api_port}"
    own = {
        "API_PORT": str(api_port), "PUBLIC_URL": url, "MANUAL_PAYMENTS": "true",
        "OIDC_ISSUERS": f"http://127.0.0.1:{issuer_port}",
        "CLERK_WEBHOOK_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(),
        "SMTP_URL": f"smtp://127.0.0.1:{mail_port}",
        "XENDIT_URL": f"http://127.0.0.1:{xendit_port}", "XENDIT_KEY": f"xnd_{secrets.token_hex(16)}",
        "XENDIT_CALLBACK_TOKEN": secrets.token_hex(32),
        "PROVISIONING_ADMIN_TOKEN": secrets.token_hex(32),
    }  # fmt: skip
    with local_system(state, {}, own) as chosen:
        chosen["HOUSE_ACCOUNT"] = open_house()
        running = [Processes(state, chosen)]

        def move_clock(days: int) -> None:
            later = {**chosen, "CLOCK_OFFSET_SECONDS": str(days * DAY)}
            running.pop().stop()
            os.environ.update(later)  # the audit goes by the same clock
            settings.cache_clear()
            db.close()
            running.append(Processes(state, later))
            running[0].start()
            wait_for_api(url, running[0])

        try:
            running[0].start()
            key = open_admin()
            wait_for_api(url, running[0])
            yield Started(url, {**chosen, "HEADRACE_ADMIN_KEY": key}, move_clock, _broken_rules)
        finally:
            for each in running:
                each.stop()


def _empty(state: Path) -> None:
    """Begin anew: the run before has moved the clock of what it left. Raises AlreadyRunning."""
    if STATE in state.parents:
        private_folder(STATE)
    hold(state).close()  # what a killed run has left running is ended
    shutil.rmtree(state)


def open_admin() -> str:
    """An operator's key, with every scope."""
    with transaction() as conn:
        account_id, _ = accounts.open_account(conn, issuer="local", subject="examples", default_plan="free")
        (user,) = accounts.users(conn, issuer="local", subject="examples")
        accounts.change_role(conn, operator(), user.id, "admin")
        return api_keys.create(conn, account_id, api_keys.NewKey("examples", scopes=SCOPES))[1]


def open_house() -> str:
    """The account that pays for summaries, with credits."""
    with transaction() as conn:
        account_id, _ = accounts.open_account(conn, issuer="local", subject="house", default_plan="enterprise")
        give(conn, operator(), account_id, kind="gift", amount=100, ref="examples", reason="summaries")
    return str(account_id)


def _broken_rules() -> list[str]:
    with transaction() as conn:
        return [f"{finding.rule}: {finding.rows}" for finding in audit.audit(conn)]
