"""SeaweedFS, the embedded S3 server: one process with ports that nobody but itself can use, except the one of S3."""

import os
import secrets
import signal
import socket
import stat
import subprocess
import sysconfig
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from cli.embedded.locked import private_folder, spawn
from cli.embedded.seaweed_keys import protect

PARTS = ("s3", "master", "volume", "filer", "admin")
STOP_SIGNAL = signal.SIGTERM
# Also those of docker-compose.yml. Without Iceberg, Lance, WebDAV and users' administration there is less to close.
FLAGS = (
    "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-s3.autoCreateBucket=false",
    "-s3.allowDeleteBucketNotEmpty=false", "-master.telemetry=false",
)  # fmt: skip
SOCKETS = Path("/tmp")  # noqa: S108 - SeaweedFS's choice for its gRPC, whatever TMPDIR says
YOUNG_SECONDS = 10.0  # a socket that is being made refuses connections for a moment


def start(
    state: Path, ports: Mapping[str, int], access: str, secret: str, bucket: str, *, bind: str = "127.0.0.1"
) -> "subprocess.Popen[bytes]":
    """Start it with its data in `state/s3`. Its parts speak to each other on loopback wherever they `bind`."""
    folder = state / "s3"
    private_folder(folder)
    protect(folder)
    (folder / "mini.options").unlink(missing_ok=True)  # its flags of last time, which it would read again
    remove_sockets(state)
    _socket_list(state).write_text("".join(f"{path}\n" for path in sockets(ports)))
    # Its own folder as ".": a comma in a path would make two of it, and a socket's path has 107 bytes.
    command = [
        str(Path(sysconfig.get_path("scripts")) / "weed"), "-logtostderr=true", "mini", "-dir=.",
        "-ip=127.0.0.1", f"-ip.bind={bind}", f"-bucket={bucket}", *FLAGS,
        "-master.volumeSizeLimitMB=128", "-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock",
    ]  # fmt: skip
    for name, port in ports.items():
        command += [f"-{name}.port={port}", f"-{name}.port.grpc={port + 10_000}"]
    environment = {
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
        "GOMEMLIMIT": "512MiB",
        "WEED_ADMIN_PASSWORD": secrets.token_hex(12),
    }
    foreign = [
        name for name in os.environ if name.startswith("WEED_") and name not in environment
    ]  # would win over ours
    return spawn(state, "s3", command, environment=environment, without=foreign, cwd=folder, umask=0o077)


def sockets(ports: Mapping[str, int]) -> list[Path]:
    """The Unix sockets it makes outside its folder, and leaves behind at every stop."""
    return [SOCKETS / f"seaweedfs-{part}-grpc-{port + 10_000}.sock" for part, port in ports.items()]


def remove_sockets(state: Path) -> None:
    """Clean up after the last SeaweedFS of this folder, which may have been killed in an earlier run, and after those of
    folders that are gone.
    """
    listed = _socket_list(state)
    if listed.exists():
        for line in listed.read_text().splitlines():
            Path(line).unlink(missing_ok=True)
        listed.unlink()
    for path in _dead(SOCKETS.glob("seaweedfs-*.sock")):
        path.unlink(missing_ok=True)


def probe(url: str, access: str, secret: str, bucket: str) -> Any:
    """Asks whether the bucket can be written. SeaweedFS makes it at its start, and gives that up on a machine that is busy."""
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id=access, aws_secret_access_key=secret, region_name="us-east-1",
        config=Config(
            s3={"addressing_style": "path"}, retries={"max_attempts": 1}, connect_timeout=2, read_timeout=10
        ),
    )  # fmt: skip

    def put() -> None:
        try:
            client.put_object(Bucket=bucket, Key=".ready", Body=b"")  # a first put works later than a first list does
        except client.exceptions.NoSuchBucket:
            client.create_bucket(Bucket=bucket)
            raise  # and is asked again
        client.close()

    return put


def _socket_list(state: Path) -> Path:
    return state / "s3.sockets"


def _dead(paths: Iterable[Path]) -> list[Path]:
    """Sockets of our own on which nobody listens any more."""
    found = []
    for path in paths:
        try:
            entry = path.lstat()
        except FileNotFoundError:
            continue
        ours = stat.S_ISSOCK(entry.st_mode) and entry.st_uid == os.geteuid()
        if ours and time.time() - entry.st_mtime > YOUNG_SECONDS and not _listens(path):
            found.append(path)
    return found


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as trial:
        trial.setblocking(False)
        try:
            trial.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # too busy to take another one
            return True
    return True
