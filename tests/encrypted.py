"""PostgreSQL, Redis and S3 that speak TLS themselves and nothing else: Debian's packages, which are built with it, and SeaweedFS."""

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from cli.embedded import seaweed
from cli.embedded.servers import free_ports, servers
from tests.support import eventually
from tests.tls import Papers

POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)), None)
REDIS = shutil.which("redis-server")
needs_packages = pytest.mark.skipif(
    POSTGRES is None or REDIS is None, reason="Debian's postgresql and redis-server are not installed (make tools)"
)


@contextmanager
def _running(command: Sequence[str | Path], log: Path, **who: Any) -> Iterator[None]:
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, cwd="/", **who)
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def encrypted_postgres(papers: Papers) -> Iterator[str]:
    """The address of a database for the time of a block; whoever comes without TLS is not let in."""
    assert POSTGRES is not None
    port, password = free_ports(1)[0], secrets.token_hex(12)
    folder = Path(tempfile.mkdtemp(prefix="encrypted-"))  # not pytest's, which another user cannot enter
    data, key, file = folder / "data", folder / "key.pem", folder / "password"
    shutil.copy(papers.chain, key)
    file.write_text(password)
    who: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        nobody = pwd.getpwnam("nobody")
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        for path in (folder, key, file):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    key.chmod(0o600)
    subprocess.run(
        [POSTGRES.with_name("initdb"), "-D", data, "-U", "app", f"--pwfile={file}", "--encoding=UTF8", "--no-locale"],
        check=True, capture_output=True, cwd="/", **who,
    )  # fmt: skip
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    chosen = {
        "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": 100, "fsync": "off",
        "ssl": "on", "ssl_cert_file": key, "ssl_key_file": key, "password_encryption": "scram-sha-256",
    }  # fmt: skip
    flags = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    trusting = f"?sslmode=verify-full&sslrootcert={papers.authority}"
    place = f"postgresql://app:{password}@localhost:{port}"
    with _running([POSTGRES, "-D", data, *flags], folder / "log", **who):
        eventually(lambda: _makes_database(f"{place}/postgres{trusting}"), what="PostgreSQL with TLS")
        yield f"{place}/headrace{trusting}"
    shutil.rmtree(folder)


def _makes_database(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as conn:
        conn.execute("create database headrace")
        return True
    return False


@contextmanager
def encrypted_redis(papers: Papers, folder: Path) -> Iterator[str]:
    """The address of a Redis for the time of a block; it has no port without TLS."""
    assert REDIS is not None
    port, password = free_ports(1)[0], secrets.token_hex(12)
    config = folder / "redis.conf"
    config.write_text(
        f'port 0\ntls-port {port}\nbind 127.0.0.1\ndir {folder}\nsave ""\nmaxmemory-policy noeviction\nrequirepass {password}\n'
        f"tls-cert-file {papers.chain}\ntls-key-file {papers.chain}\ntls-ca-cert-file {papers.authority}\ntls-auth-clients no\n"
    )
    url = f"rediss://:{password}@localhost:{port}/0?ssl_ca_certs={papers.authority}"
    with _running([REDIS, str(config)], folder / "redis.log"):
        eventually(lambda: _answers(url), what="Redis with TLS")
        yield url


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


@contextmanager
def encrypted_s3(papers: Papers, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What leads to a bucket by HTTPS, for the time of a block."""
    port = free_ports(1)[0]
    given = (f"-s3.port.https={port}", f"-s3.cert.file={papers.chain}", f"-s3.key.file={papers.chain}")
    with monkeypatch.context() as patch:
        patch.setattr(seaweed, "FLAGS", (*seaweed.FLAGS, *given))
        outside = {"DATABASE_URL": "postgresql://elsewhere/x", "REDIS_URL": "redis://elsewhere"}
        with servers(folder, given=outside) as addresses:
            yield {**addresses.environment(), "S3_ENDPOINT_URL": f"https://localhost:{port}"}
