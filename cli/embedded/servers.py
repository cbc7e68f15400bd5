"""PostgreSQL, Valkey and SeaweedFS from PyPI wheels, for a bare machine.

Their programs are started directly, because the wheels' own Python code leaves servers behind or starts two on the
same data. Everything listens on loopback only, on free ports, with random passwords that are kept in the state
folder. The environment's DATABASE_URL, REDIS_URL and S3_ENDPOINT_URL replace each of them.
"""

import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.embedded import postgres, seaweed, valkey
from cli.embedded.locked import hold, read_private, stop, wait_ready
from cli.embedded.postgres import DATABASE

START_TRIES = 3
PORT_TAKEN = ("already in use", "is not available on 127.0.0.1")  # PostgreSQL, Valkey and SeaweedFS; SeaweedFS
MOST_RESERVED = 100  # choices of a process, the newest ones: each is held by two descriptors
_reserved: deque[list[int]] = deque()
Child = tuple["subprocess.Popen[bytes]", signal.Signals]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the three servers are."""

    database_url: str
    redis_url: str
    s3_endpoint_url: str
    s3_bucket: str
    s3_access_key_id: str | None
    s3_secret_access_key: str | None
    s3_region: str = "us-east-1"

    def environment(self) -> dict[str, str]:
        """The settings that lead there."""
        values = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "S3_ENDPOINT_URL": self.s3_endpoint_url,
            "S3_BUCKET": self.s3_bucket,
            "S3_REGION": self.s3_region,
            "S3_ACCESS_KEY_ID": self.s3_access_key_id,
            "S3_SECRET_ACCESS_KEY": self.s3_secret_access_key,
        }
        return {name: value for name, value in values.items() if value is not None}


@contextmanager
def servers(
    state: Path,
    *,
    bucket: str = DATABASE,
    postgres_settings: Mapping[str, str] | None = None,
    given: Mapping[str, str] | None = None,
) -> Iterator[Addresses]:
    """Run the servers that the environment, or what is `given` instead, does not replace, with their data in `state`, for
    the time of the block.

    Raises AlreadyRunning where another launcher uses the folder. Call from the main thread.
    """
    state = state.resolve()
    launcher = hold(state)
    children: list[Child] = []
    outside = {name: value for name, value in (os.environ if given is None else given).items() if value}
    try:
        for tries_left in reversed(range(START_TRIES)):
            try:
                addresses = _start(state, bucket, postgres_settings or {}, outside, children)
                break
            except RuntimeError as error:  # between the look for free ports and the start somebody else has taken one
                if not tries_left or not any(words in str(error) for words in PORT_TAKEN):
                    raise
                stop(children)
                children.clear()
        yield addresses
    finally:
        try:
            stop(children)
            seaweed.remove_sockets(state)
        finally:
            launcher.close()


def _start(
    state: Path, bucket: str, postgres_settings: Mapping[str, str], outside: Mapping[str, str], children: list[Child]
) -> Addresses:
    keys = json.loads(read_private(state / "secrets.json", _new_secrets))
    s3_url, redis_url, database_url = (outside.get(n) for n in ("S3_ENDPOINT_URL", "REDIS_URL", "DATABASE_URL"))
    # None leaves the keys to the machine's own role, as the settings do.
    access, secret = outside.get("S3_ACCESS_KEY_ID"), outside.get("S3_SECRET_ACCESS_KEY")
    bucket = bucket if s3_url is None else outside.get("S3_BUCKET", bucket)
    seaweed_ports, redis_port, database_port = _ports()
    waits = []
    # All are started before the first is waited for.
    if s3_url is None:
        access, secret = keys["s3_access"], keys["s3_secret"]
        s3_url = f"http://127.0.0.1:{seaweed_ports['s3']}"
        s3 = seaweed.start(state, seaweed_ports, access, secret, bucket)
        children.append((s3, seaweed.STOP_SIGNAL))
        waits.append((s3, seaweed.probe(s3_url, access, secret, bucket), "SeaweedFS", state / "s3.log"))
    if redis_url is None:
        redis_url = f"redis://:{keys['redis']}@127.0.0.1:{redis_port}/0"
        queue = valkey.start(state, redis_port, keys["redis"])
        children.append((queue, valkey.STOP_SIGNAL))
        waits.append((queue, valkey.probe(redis_url), "Valkey", state / "redis.log"))
    if database_url is None:
        database_url = f"postgresql://app:{keys['postgres']}@127.0.0.1:{database_port}/{DATABASE}"
        database = postgres.start(state, database_port, keys["postgres"], postgres_settings)
        children.append((database, postgres.STOP_SIGNAL))
        waits.append((database, postgres.probe(database_url), "PostgreSQL", state / "postgres.log"))
    for wait in waits:
        wait_ready(*wait)
    return Addresses(database_url, redis_url, s3_url, bucket, access, secret, outside.get("S3_REGION", "us-east-1"))


def free_ports(count: int) -> list[int]:
    """Free ports, each with the port 10,000 above it, which SeaweedFS uses for gRPC.

    Both stay below 32,768: from there up Linux hands ports to outgoing connections, which could take one before the
    server does. Nor does another process that chooses ports so choose one of them: they are reserved while this one
    lives, as its newest. The system's randomness, because tests seed the shared generator.
    """
    dice = random.SystemRandom()
    found: list[int] = []
    while len(found) < count:
        port = dice.randrange(10_000, 22_700)
        try:
            for number in (port, port + 10_000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        if not {port - 10_000, port, port + 10_000} & set(found) and _reserve(port, port + 10_000):
            found.append(port)
    return found


def _reserve(*ports: int) -> bool:
    """Whether nobody has reserved these, who have them from now on. By names that Linux forgets as the process ends."""
    if sys.platform != "linux":
        return True
    held = []
    for port in ports:
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        held.append(name)
        try:
            name.bind(f"\0headrace-port-{port}")
        except OSError:
            for each in held:
                each.close()
            return False
    _reserved.append([each.detach() for each in held])
    if len(_reserved) > MOST_RESERVED:
        for number in _reserved.popleft():
            os.close(number)
    return True


def _ports() -> tuple[dict[str, int], int, int]:
    """Ports for the parts of SeaweedFS, for Valkey and for PostgreSQL, all different before any of them is taken."""
    while True:
        *numbers, redis_port, database_port = free_ports(len(seaweed.PARTS) + 2)
        parts = dict(zip(seaweed.PARTS, numbers, strict=True))
        if not any(path.exists() for path in seaweed.sockets(parts)):  # another user's old one could not be replaced
            return parts, redis_port, database_port


def _new_secrets() -> str:
    return json.dumps({name: secrets.token_hex(20) for name in ("postgres", "redis", "s3_access", "s3_secret")})
