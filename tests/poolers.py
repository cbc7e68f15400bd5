"""PgBouncer in front of the tests' PostgreSQL, as an ordinary user, for the time of a block."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.embedded.servers import free_ports
from common.places import database_parameters
from tests.support import eventually

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed (make tools)")


@contextmanager
def pgbouncer(url: str, *, mode: str = "transaction", ignores: str = "", size: int = 20) -> Iterator[str]:
    """The same database's address through a PgBouncer. `ignores`: the startup parameters that it passes over silently."""
    assert PROGRAM is not None
    given = database_parameters(url)
    port = free_ports(1)[0]
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))  # not pytest's, which another user cannot enter
    users, config, log = folder / "users", folder / "config", folder / "log"
    users.write_text(f'"{given["user"]}" "{given["password"]}"\n')
    config.write_text(
        f"[databases]\n* = host={given['host']} port={given['port']}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\npool_mode = {mode}\n"
        f"default_pool_size = {size}\nmax_client_conn = 500\n"
        + (f"ignore_startup_parameters = {ignores}\n" if ignores else "")
    )
    who: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        nobody = pwd.getpwnam("nobody")
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        for path in (folder, users, config):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    through = f"postgresql://{given['user']}:{given['password']}@127.0.0.1:{port}/{given['dbname']}"
    with log.open("wb") as output:
        child = subprocess.Popen([PROGRAM, config], stdout=output, stderr=output, cwd=folder, **who)
    try:
        eventually(lambda: _answers(through), what=f"PgBouncer: {log.read_text()[-500:]}")
        yield through
    finally:
        child.terminate()
        child.wait(10)
        shutil.rmtree(folder)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
