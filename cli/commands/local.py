"""Commands that run the whole system on this machine: `up` and `demo`."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli import troubles
from cli.commands.client import Api, follow
from cli.commands.identity import operator
from cli.embedded import locked, processes, servers
from cli.output import JsonFlag, aside, console, fail, print_json, show
from common.env_files import OWN_FILE, STATE
from common.settings import environment, settings
from models import db
from models.access import api_keys
from models.accounts import accounts
from models.credits import audit, giving
from models.schema import prepare

app = typer.Typer()
StateOption = Annotated[
    Path, typer.Option(help="Where data and logs are kept; else under HEADRACE_STATE, if it is set.")
]

DEMO_JOBS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("harbour", "sketch-image", {"prompt": "a harbour at dawn", "seed": 7, "width": 1024, "height": 640}),
    (
        "mountains",
        "sketch-image",
        {"prompt": "ice and mountains", "seed": 3, "width": 1024, "height": 640, "format": "webp"},
    ),
    ("dreams", "sketch-image", {"prompt": "a neon dream over the sea", "seed": 11, "count": 2, "format": "jpeg"}),
    (
        "northern-lights",
        "sketch-image",
        {"prompt": "northern lights over a lake", "seed": 5, "width": 1024, "height": 640},
    ),
    ("film", "sketch-video", {"prompt": "sunset over the sea", "duration_seconds": 5, "seed": 2}),
    ("sentence", "sketch-speech", {"text": "The water turns the wheel, and the wheel pays its way."}),
    ("broken", "sketch-broken", {"prompt": "what cannot be drawn"}),
)


@contextmanager
def local_system(state: Path, given: Mapping[str, str], own: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Servers, schema and settings, for this process and the children it will start. `given`: what the user has set;
    `own` goes before it.
    """
    before = dict(os.environ)
    try:
        if STATE in state.parents:
            locked.private_folder(STATE)
        with servers.servers(state, given=given) as addresses:
            fresh = {name: given.get(name) or value for name, value in processes.fresh_environment(state).items()}
            chosen = {**fresh, **addresses.environment(), **own}
            os.environ.update(chosen)
            settings.cache_clear()
            try:
                prepare.prepare()
                yield chosen
            finally:
                db.close()
    except typer.Exit:  # a RuntimeError too, of who has said why
        raise
    except RuntimeError as error:  # a server that does not start says why, with the end of its log
        raise fail(troubles.of_server(error, state)) from None
    finally:
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()


def wait_for_api(url: str, children: "processes.Processes", seconds: float = 120) -> None:
    """Return once the API answers. Raises typer.Exit, and says where its log is, if it does not."""
    end = time.monotonic() + seconds
    with Api(url, None) as api:  # one for all tries: to make one takes 30 ms of a core
        while time.monotonic() < end and not children.dead():
            if api.is_ready():
                return
            time.sleep(0.05)
    raise fail(f"the API is not ready; see {children.log('api')}")


def refuse_taken(port: int) -> None:
    """Raises typer.Exit where something else listens on the API's port, or this user may not take it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the API does: what has just ended is no reason
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise fail(f"port {port} needs root: give another with --port, or --port 0 for one that is free") from None
        except OSError:
            raise fail(f"port {port} is taken: give another with --port, or --port 0 for one that is free") from None


@app.command()
def up(
    port: Annotated[
        int, typer.Option(help="Where the API listens; 0 takes a port that is free.", min=0, max=65_535)
    ] = 8000,
    state: StateOption = STATE,
    as_json: bool = JsonFlag,
) -> None:
    """Run everything here until Ctrl-C: servers, API, worker, scheduler, sender. Data stays in .headrace/.

    DATABASE_URL, REDIS_URL and S3_ENDPOINT_URL, of the environment or of .env, each replace one of the servers.
    """
    stopping = threading.Event()

    def end(*_: object) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt  # a second time: nobody wants to wait for the worker's last answers
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    port = port or servers.free_ports(1)[0]
    refuse_taken(port)  # before anything is started
    url = f"http://127.0.0.1:{port}"
    with local_system(state, environment([OWN_FILE]), {"API_PORT": str(port), "PUBLIC_URL": url}) as chosen:
        addresses = state / "env"  # other `headrace` commands in this folder read it
        locked.write_private(addresses, "".join(f"{name}={_quoted(value)}\n" for name, value in chosen.items()))
        children = processes.Processes(state, chosen, console=None if as_json else console)
        try:
            children.start()
            wait_for_api(url, children)
            if as_json:
                print_json({"url": url, "logs": children.logs, "addresses": addresses})
            else:
                console.print(f"[green]ready[/] {url}/docs; logs in {children.logs}; Ctrl-C stops")
            status = processes.supervise(children, aside(as_json=as_json), stopping)
        finally:
            children.stop()
            addresses.unlink(missing_ok=True)
    raise typer.Exit(status)


def _quoted(value: str) -> str:
    """A value as .env files have it, whatever is in it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@app.command()
def demo(
    results: Annotated[
        Path | None,
        typer.Option(help="Where the results are saved: demo-results, or in the state where that cannot be."),
    ] = None,
    state: StateOption = STATE / "demo",
    as_json: bool = JsonFlag,
) -> None:
    """See it work: order pictures, a film and a spoken sentence, pay for them, fetch them; then prove the books.

    It leaves alone what .env names: only the environment replaces its servers.
    """
    if results is None:
        results = Path("demo-results") if os.access(".", os.W_OK) else state / "results"
    else:
        results.mkdir(parents=True, exist_ok=True)  # what cannot be is found out before anything is started
    started, told = time.monotonic(), aside(as_json=as_json)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    port = servers.free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    with local_system(state, environment([]), {"API_PORT": str(port), "PUBLIC_URL": url}) as chosen:
        children = processes.Processes(state, chosen)
        try:
            children.start()
            account_id, key = _open_account()
            wait_for_api(url, children)
            told.print(f"servers, API, worker and scheduler are up after {time.monotonic() - started:.1f} s\n")
            with Api(url, key) as api:
                report = _order(api, results, told)
        finally:
            children.stop()
        with db.transaction() as conn:
            findings = audit.audit(conn)
    broken = [finding._asdict() for finding in findings]
    if as_json:
        print_json({**report, "account": account_id, "audit_clean": not findings, "findings": broken})
    else:
        clean = f"[green]all {len(audit.RULES)} rules hold: every credit is accounted for[/]"
        console.print(f"\naudit: {clean if not findings else f'[red]{broken}[/]'}")
        console.print(f"done in {time.monotonic() - started:.1f} s; the results are in [bold]{results}/[/]")
    if findings or not report["as_expected"]:
        raise typer.Exit(1)


def _open_account() -> tuple[Any, str]:
    with db.transaction() as conn:
        account_id, _ = accounts.open_account(
            conn, issuer="demo", subject=f"demo-{time.time_ns()}", default_plan="free", email="demo@example.com"
        )
        giving.give(conn, operator(), account_id, kind="gift", amount=30, ref="demo", reason="demo")
        return account_id, api_keys.create(conn, account_id, api_keys.NewKey("demo"))[1]


def _order(api: Api, results: Path, told: Console) -> dict[str, Any]:
    names = {api.submit(model, values)["id"]: name for name, model, values in DEMO_JOBS}
    ended = follow(api, names, on=told)
    saved = [path for job_id, job in ended.items() for path in api.save(job, results, names[job_id])]
    entries = api.call("GET", "/v1/credits/entries", params={"limit": 100})["data"]
    balance = api.call("GET", "/v1/credits")
    told.print(f"\nsaved {', '.join(sorted(path.name for path in saved))}")
    # Short names, and the kind says where it came from: a row is one line of 80 columns.
    wanted = {
        "id": "id", "kind": "kind", "amount": "amount", "to": "to_bucket", "available": "available_after",
        "reserved": "reserved_after",
    }  # fmt: skip
    ledger = [
        {"job": names.get(each["job_id"] or "", "–"), **{short: each[name] for short, name in wanted.items()}}
        for each in reversed(entries)
    ]
    show(ledger, as_json=False, title="The account's ledger", on=told)
    failed = next(job for job_id, job in ended.items() if names[job_id] == "broken")
    told.print(
        f"the job that failed ({failed['error']['code']}: {failed['error']['message']}) held "
        f"{failed['credits']['reserved']} credits and was charged {failed['credits']['charged']}; "
        f"{balance['available']} credits are left, {balance['reserved']} reserved"
    )
    outcome = {names[job_id]: job["status"] for job_id, job in ended.items()}
    expected = {name: "failed" if name == "broken" else "succeeded" for name in names.values()}
    return {"jobs": outcome, "saved": saved, "balance": balance, "as_expected": outcome == expected}
