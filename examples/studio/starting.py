"""The studio with a running system around it: servers, API, worker, scheduler, sender, a checkout, and somebody who has credits."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import typer

from cli.commands.identity import operator
from cli.commands.local import local_system, refuse_taken, wait_for_api
from cli.embedded.locked import AlreadyRunning
from cli.embedded.processes import Processes
from cli.embedded.servers import free_ports
from common.env_files import STATE
from examples.starting import CannotStart
from examples.studio.checkout import Checkout
from models.access import api_keys
from models.access.scopes import Scope
from models.accounts import accounts
from models.catalogue import entries
from models.credits.giving import give
from models.db import transaction
from models.identity import acting

CATALOGUE = Path(__file__).with_name("catalogue.toml")
PERSON = "mara@millpond.example"
CREDITS = 154  # with what the plan gives, and less what was ordered first, what is in the pictures
# All that the studio's server does for people; it may act for them, and nothing of an operator's.
SCOPES: tuple[Scope, ...] = ("read", "write", "generate", "delete", "act")
FIRST_ORDERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("atelier", {"prompt": "A fishing harbour at dawn, mist lifting off the water", "seed": 7}),
    ("atelier", {"prompt": "Northern lights over the breakwater", "seed": 5}),
    ("atelier", {"prompt": "Ice and mountains at blue hour", "seed": 3}),
    ("reel", {"prompt": "Sunset over the sea, slow push-in", "seed": 2}),
    ("atelier", {"prompt": "Dunes behind the old quay, late sun", "seed": 12}),
    ("quick-sketch", {"prompt": "A neon dream over the port district", "seed": 11}),
    ("atelier", {"prompt": "Pines above the cove in fog", "seed": 9}),
    ("atelier", {"prompt": "A bay from above, turquoise shallows", "seed": 21}),
    ("voice", {"text": "The water turns the wheel, and the wheel pays its way."}),
    ("storyteller", {"prompt": "a mill at the end of a long canal", "seed": 4}),
)


def put_on_sale() -> None:
    """The studio's own catalogue, and nothing else."""
    file = entries.read_file(CATALOGUE)
    with transaction() as conn:
        entries.apply(
            conn, file.models, file.providers, plan_entries=file.plans, pack_entries=file.packs, features=file.features,
            retire_missing=True,
        )  # fmt: skip


def open_service() -> str:
    """A service key for the studio's server."""
    with transaction() as conn:
        account_id, _ = accounts.open_account(conn, issuer="local", subject="studio", default_plan="free")
        (user,) = accounts.users(conn, issuer="local", subject="studio")
        accounts.change_role(conn, operator(), user.id, "admin")
        return api_keys.create(conn, account_id, api_keys.NewKey("studio", scopes=SCOPES))[1]


def settings_of(url: str, checkout_url: str) -> dict[str, str]:
    """What API, worker and scheduler need for the studio, besides STUDIO_KEY, which is in the database first."""
    return {
        "PUBLIC_URL": url, "STUDIO_API": url, "STUDIO_APP": "examples.studio.server:make_studio", "DEFAULT_PLAN": "guest",
        "XENDIT_URL": checkout_url, "XENDIT_KEY": f"xnd_{secrets.token_hex(16)}",
        "XENDIT_CALLBACK_TOKEN": secrets.token_hex(32), "RESULT_HOURS": "0",
    }  # fmt: skip


def seed(email: str = PERSON, amount: int = CREDITS) -> bool:
    """Somebody with an account and credits. Whether they are new: what was given once is not given again."""
    with transaction() as conn:
        who = acting.create(conn, acting.named(f"email:{email}"))
        given = give(
            conn,
            operator(),
            who.account_id,
            kind="gift",
            amount=amount,
            ref=f"studio:{email}",
            reason="a demonstration",
        )
        return given is not None


def order_first(url: str, key: str, email: str = PERSON) -> None:
    """So that there is something to see."""
    headers = {"authorization": f"Bearer {key}", "headrace-account": f"email:{email}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        for model, values in reversed(FIRST_ORDERS):
            client.post("/v1/jobs", json={"model": model, "input": values}).raise_for_status()


@contextmanager
def opened(port: int, state: Path = STATE / "studio") -> Iterator[str]:
    """The studio for the time of a block. Returns its address. What was made before is still there. Raises CannotStart."""
    try:
        if port:
            refuse_taken(port)
        with _running(port or free_ports(1)[0], state) as address:
            yield address
    except AlreadyRunning as error:
        raise CannotStart(str(error)) from None
    except typer.Exit:  # what the commands of the same name raise, when they have said why
        raise CannotStart("the studio does not run") from None


@contextmanager
def _running(port: int, state: Path) -> Iterator[str]:
    url, checkout_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_ports(1)[0]}"
    own = {**settings_of(url, checkout_url), "API_PORT": str(port)}
    with ExitStack() as stack:
        chosen = stack.enter_context(local_system(state, {}, own))
        put_on_sale()
        chosen["STUDIO_KEY"] = open_service()
        is_new = seed()
        Checkout(checkout_url, own["XENDIT_CALLBACK_TOKEN"], url, stack)
        children = Processes(state, chosen)
        stack.callback(children.stop)
        children.start()
        wait_for_api(url, children)
        if is_new:
            order_first(url, chosen["STUDIO_KEY"])
        yield f"{url}/studio/"
