"""Which hosts there are, what runs on each, and how it is started there, again after each power cut."""

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO
from urllib.request import urlopen

from cli.embedded import postgres, seaweed, valkey
from cli.embedded.locked import LAUNCHER, hold, spawn, wait_ready
from cli.embedded.processes import Processes
from cli.embedded.servers import Addresses, free_ports
from common.telemetry.serving import ProcessKind, port_of
from tests.conftest import FAST, environment, prepared
from tests.far_side import deployment
from tests.far_side.book import Book
from tests.far_side.http import SECRET
from tests.far_side.queue_faults import Book as QueueBook
from tests.hosts.network import ROOT, Network
from tests.support import OWN_SECRET

CLIENTS = "clients"  # where the driver is
APIS, WORKERS, SCHEDULERS = ("api1", "api2"), ("worker1", "worker2", "worker3"), ("scheduler1", "scheduler2")
SERVERS, PROVIDER = ("database", "redis", "s3"), "provider"
ALL = (CLIENTS, *SERVERS, PROVIDER, *APIS, *WORKERS, *SCHEDULERS)

PORTS = {"database": 5432, "redis": 6379, "api": 8000, "http": 9001, "replicate": 9002}
FIRST_WATCHED = 9100  # where a process says by itself how it is
WATCHED: tuple[ProcessKind, ...] = ("worker", "scheduler")
PORTS |= {kind: port_of(kind, FIRST_WATCHED) for kind in WATCHED}
KINDS = {"in-line": ("http", "quick"), "polled": ("http", "polled"), "called-back": ("replicate", "owner/called")}
SCRIPTS = {
    "http": json.dumps({"quick": {}, "polled": {"ready_seconds": 1.0, "poll_after_seconds": 0.5, "calls": False}}),
    "replicate": json.dumps({"owner/called": {"ready_seconds": 1.0, "webhook_secret": SECRET}}),
}
# A third of its answers take their time, so that a host that dies has calls in its hands.
FAULTS = {"http": json.dumps({"seed": 1, "share": {"slow": 0.3}, "seconds": 2.0, "per_key": 1})}
# Of time only what must be waited for is shorter than in production; all of what bounds a socket is as it is there.
LEASE_SECONDS = 5.0
SETTINGS = {
    "LEASE_SECONDS": str(LEASE_SECONDS), "RING_AGAIN_SECONDS": "1", "RETRY_BASE_SECONDS": "0.5", "RETRY_MAX_SECONDS": "2",
    "RECONCILE_SECONDS": "30", "WORKER_STOP_SECONDS": "5", "CATALOGUE_REFRESH_SECONDS": "1", "WORKER_THREADS": "4",
    "SECRET_KEY": OWN_SECRET, "ENVIRONMENT": "test", "OWN_SECRET": SECRET, deployment.KEY_VARIABLE: deployment.KEY,
}  # fmt: skip
READY_SECONDS = 60.0


class House:
    """All hosts with what runs on them."""

    def __init__(self, folder: Path, network: Network) -> None:
        self.network, self.folder = network, folder
        self._password = secrets.token_hex(20)
        # Drawn: SeaweedFS names sockets in /tmp after them, which is the same folder on all hosts and for other runs.
        self._s3_ports = dict(zip(seaweed.PARTS, free_ports(len(seaweed.PARTS)), strict=True))
        self._children: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._processes: dict[str, Processes] = {}
        for name in ALL:
            network.add(name)

    def address(self, name: str) -> str:
        return self.network.hosts[name].address

    def api_urls(self) -> list[str]:
        return [f"http://{self.address(name)}:{PORTS['api']}" for name in APIS]

    def addresses(self) -> Addresses:
        """Where everybody finds the three servers."""
        word = self._password
        return Addresses(
            f"postgresql://app:{word}@{self.address('database')}:{PORTS['database']}/{postgres.DATABASE}",
            f"redis://:{word}@{self.address('redis')}:{PORTS['redis']}/0",
            f"http://{self.address('s3')}:{self._s3_ports['s3']}", postgres.DATABASE, "hosts", word,
        )  # fmt: skip

    def start(self, name: str) -> None:
        """Start what runs on a host. Does not wait until it is ready."""
        with self.network.hosts[name].inside():
            if name in self._starters:
                self._children[name] = self._starters[name]()
                return
            kind = name.rstrip("0123456789")
            processes = Processes(self.folder / name, self._settings_of(name, kind))
            self._processes[name] = processes
            self._children[name] = [processes.start_one(kind)]

    def cut_power(self, name: str) -> None:
        """Everything on the host is gone in an instant, its connections included, and nobody hears of it."""
        host = self.network.hosts[name]
        self.network.boot(host)
        for child in self._children.pop(name, []):
            child.wait()
        if (processes := self._processes.pop(name, None)) is not None:
            processes.stop()

    def wait_for(self, name: str) -> None:
        """Wait until what runs on a host answers."""
        for child, probe, title, log in self._probes(name):
            wait_ready(child, probe, title, log, READY_SECONDS)

    @property
    def _starters(self) -> dict[str, Callable[[], list["subprocess.Popen[bytes]"]]]:
        return {"database": self._database, "redis": self._redis, "s3": self._s3, PROVIDER: self._provider}

    def _database(self) -> list["subprocess.Popen[bytes]"]:
        doors = self.folder / "pg_hba.conf"
        doors.write_text("host all all 10.77.0.0/24 scram-sha-256\n")
        doors.chmod(0o644)
        # Its commits are durable for what happens here: the machine below is never cut off.
        asked = {**FAST, "autovacuum": "on", "listen_addresses": "*", "hba_file": str(doors)}
        return [postgres.start(self.folder, PORTS["database"], self._password, asked)]

    def _redis(self) -> list["subprocess.Popen[bytes]"]:
        return [valkey.start(self.folder, PORTS["redis"], self._password, bind="*")]

    def _s3(self) -> list["subprocess.Popen[bytes]"]:
        return [seaweed.start(self.folder, self._s3_ports, "hosts", self._password, postgres.DATABASE, bind="0.0.0.0")]

    def _provider(self) -> list["subprocess.Popen[bytes]"]:
        started = []
        for name, script in SCRIPTS.items():
            command = [
                sys.executable, "-m", f"tests.far_side.{name}", "--host", self.address(PROVIDER), "--port",
                str(PORTS[name]), "--book", str(self.folder / f"{name}.db"), "--script", script,
                "--faults", FAULTS.get(name, "{}"),
            ]  # fmt: skip
            started.append(spawn(self.folder, name, command, cwd=ROOT))
        return started

    def _settings_of(self, name: str, kind: str) -> dict[str, str]:
        # No proxy stands before the two: what goes to a product's address goes to one of them.
        number = int(name.removeprefix(kind)) if name[-1].isdigit() else 1
        url = self.api_urls()[number % len(APIS)]
        return {
            "METRICS_HOST": self.address(name), "METRICS_PORT": str(FIRST_WATCHED), "API_HOST": self.address(name), "API_PORT": str(PORTS["api"]), "PUBLIC_URL": url, "CALLBACK_URL": url,
        }  # fmt: skip

    def _probes(self, name: str) -> Iterator[tuple["subprocess.Popen[bytes]", Callable[[], object], str, Path]]:
        at, children = self.addresses(), self._children[name]
        match name:
            case "database":
                yield children[0], postgres.probe(at.database_url), "PostgreSQL", self.folder / "postgres.log"
            case "redis":
                yield children[0], valkey.probe(at.redis_url), "Valkey", self.folder / "redis.log"
            case "s3":
                probe = seaweed.probe(at.s3_endpoint_url, "hosts", self._password, postgres.DATABASE)
                yield children[0], probe, "SeaweedFS", self.folder / "s3.log"
            case "provider":
                return
            case _:
                kind = name.rstrip("0123456789")
                url = f"http://{self.address(name)}:{PORTS[kind]}/readyz"
                yield children[0], lambda: urlopen(url, timeout=2).close(), name, self._processes[name].log(kind)

    def dead(self) -> list[str]:
        """Hosts on which something has ended by itself."""
        return [name for name, children in self._children.items() if any(each.poll() is not None for each in children)]

    def close(self) -> None:
        """End everything, at once: whatever must be kept is."""
        for name in list(self._children):
            self.network.hosts[name].kill()
            for child in self._children.pop(name):
                child.wait()
        for processes in self._processes.values():
            processes.stop()
        seaweed.remove_sockets(self.folder)


@contextmanager
def running(folder: Path) -> Iterator[House]:
    """The whole house, with its database prepared, for the time of the block; the driver is its host `clients`. What an
    earlier run left behind in the folder is ended first. Call from the main thread.
    """
    with ExitStack() as stack:
        launcher = _emptied(folder)
        stack.callback(launcher.close)
        network = Network()
        stack.callback(network.close)
        stack.enter_context(environment(SETTINGS))
        house = House(folder, network)
        stack.callback(house.close)
        stack.enter_context(network.hosts[CLIENTS].inside())
        for name in (*SERVERS, PROVIDER):
            house.start(name)
        for name in SERVERS:
            house.wait_for(name)
        stack.enter_context(prepared(house.addresses()))
        _fill_catalogue(house)
        for name in (*APIS, *WORKERS, *SCHEDULERS):
            house.start(name)
        for name in (*APIS, *WORKERS, *SCHEDULERS):
            house.wait_for(name)
        yield house


def books(folder: Path) -> tuple[QueueBook, Book]:
    """What the provider's two servers say of themselves."""
    return QueueBook(folder / "http.db"), Book(folder / "replicate.db")


def _emptied(folder: Path) -> IO[str]:
    """Be the folder's launcher; what was left in it is ended, and gone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    launcher = hold(folder)
    for each in folder.rglob(LAUNCHER):
        if each.parent != folder:
            hold(each.parent).close()
    for each in folder.iterdir():
        if each.is_dir():
            shutil.rmtree(each)
        elif each.name != LAUNCHER:
            each.unlink()
    return launcher


def _fill_catalogue(house: House) -> None:
    at = house.address(PROVIDER)
    deployment.provider("http", "http", f"http://{at}:{PORTS['http']}", options={"secret": "OWN_SECRET"}, faults=1000)
    deployment.provider(
        "replicate", "replicate", f"http://{at}:{PORTS['replicate']}/v1", options={"webhook_secret": "OWN_SECRET"}, faults=1000,
    )  # fmt: skip
    for name, (provider, model) in KINDS.items():
        options = {"poll_seconds": 0.5} if provider == "replicate" else {"poll": model != "quick"}
        deployment.routed(
            name, {"provider": provider, "model": model, "options": options}, max_attempts=6, timeout_seconds=120
        )
