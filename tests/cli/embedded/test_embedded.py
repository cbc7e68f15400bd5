"""The embedded servers and the process runner: on real binaries, with real kills."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import boto3
import psutil
import psycopg
import pytest
import redis
from botocore.config import Config
from rich.console import Console

from cli.embedded import locked, processes
from cli.embedded.locked import AlreadyRunning, hold, spawn, stop, wait_ready
from cli.embedded.processes import Processes, supervise
from cli.embedded.servers import MOST_RESERVED, Addresses, _ports, free_ports, servers

ROOT = Path(__file__).resolve().parents[3]
SERVERS = ("postgres", "redis", "s3")

# A launcher to be killed. UNTIED plays macOS, where the end of the launcher does not end what it started.
LAUNCHER = """
import os, sys, time
from pathlib import Path
from cli.embedded import locked
from cli.embedded.processes import Processes
from cli.embedded.servers import servers
if "UNTIED" in os.environ:
    locked._tied_to = lambda: 0
what, state = sys.argv[1], Path(sys.argv[2])
if what == "servers":
    with servers(state):
        print("up", flush=True)
        time.sleep(300)
else:
    started = Processes(state, {}, procfile=Path(what))
    started.start()
    started.start_one("first", number=2)
    print("up", flush=True)
    time.sleep(300)
"""

PROCFILE = f"first: {sys.executable} -c 'import time; print(1, flush=True); time.sleep(300)'\nsecond: sleep 300\n"


@pytest.fixture(autouse=True)
def _nothing_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "DATABASE_URL",
        "REDIS_URL",
        "S3_ENDPOINT_URL",
        "S3_BUCKET",
        "S3_ACCESS_KEY_ID",
        "S3_SECRET_ACCESS_KEY",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def procfile(tmp_path: Path) -> Path:
    path = tmp_path / "Procfile"
    path.write_text(PROCFILE)
    return path


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a launcher in a process of its own, and wait until it is up."""
    started: list[subprocess.Popen[str]] = []

    def start(what: str, state: Path, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", LAUNCHER, what, str(state)]
        child = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
        )
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def pids(folder: Path, *names: str) -> list[int]:
    """Whom the locks name."""
    return [int((folder / f"{name}.lock").read_text().split()[0]) for name in names]


def processes_of(folder: Path) -> list[str]:
    """Command lines of living processes that name a folder or work in it."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        line = " ".join(process.info["cmdline"] or [])
        inside = Path(process.info["cwd"] or "/").is_relative_to(folder)
        if process.info["pid"] != os.getpid() and (inside or str(folder) in line):
            found.append(line)
    return found


def lives(pid: int) -> bool:
    # A zombie has ended: in a container nobody may collect it for a while.
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_for(condition: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def s3_of(addresses: Addresses) -> object:
    return boto3.client(
        "s3", endpoint_url=addresses.s3_endpoint_url, region_name="us-east-1",
        aws_access_key_id=addresses.s3_access_key_id, aws_secret_access_key=addresses.s3_secret_access_key,
        config=Config(s3={"addressing_style": "path"}),
    )  # fmt: skip


def write(addresses: Addresses) -> None:
    with psycopg.connect(addresses.database_url) as conn:
        conn.execute("create table kept as select 7 as number")
    with redis.Redis.from_url(addresses.redis_url) as client:
        client.set("kept", "7")
    s3 = s3_of(addresses)
    s3.put_object(Bucket=addresses.s3_bucket, Key="kept", Body=b"7")
    s3.close()


def read(addresses: Addresses) -> tuple[object, object, object]:
    with psycopg.connect(addresses.database_url) as conn:
        row = conn.execute("select number from kept").fetchone()
    with redis.Redis.from_url(addresses.redis_url) as client:
        value = client.get("kept")
    s3 = s3_of(addresses)
    body = s3.get_object(Bucket=addresses.s3_bucket, Key="kept")["Body"].read()
    s3.close()
    return row, value, body


# Servers


def test_data_survives_a_restart_and_a_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    state = tmp_path / "a folder with a space, ä and '"
    with servers(state) as addresses:
        write(addresses)
        running = pids(state, *SERVERS)
        assert all(lives(pid) for pid in running)
        sockets = [Path(line) for line in (state / "s3.sockets").read_text().splitlines()]
        assert any(path.exists() for path in sockets)
    assert not any(lives(pid) for pid in running)
    assert processes_of(state) == []
    assert not any(path.exists() for path in sockets)
    assert not (state / "s3.sockets").exists()
    with servers(state) as addresses:
        assert read(addresses) == ((7,), b"7", b"7")


def test_servers_listen_on_loopback_only_and_the_secrets_are_private(tmp_path: Path) -> None:
    with servers(tmp_path) as addresses:
        for pid in pids(tmp_path, *SERVERS):
            listening = [each for each in psutil.Process(pid).net_connections("inet") if each.status == "LISTEN"]
            assert listening
            assert {each.laddr.ip for each in listening} == {"127.0.0.1"}
        commands = " ".join(part for pid in pids(tmp_path, *SERVERS) for part in psutil.Process(pid).cmdline())
    secrets = [addresses.s3_secret_access_key, addresses.redis_url.split("@")[0].rpartition(":")[2]]
    assert not any(secret is None or secret in commands for secret in secrets)
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_second_launcher_is_refused_and_the_first_goes_on(
    tmp_path: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    first = launch("servers", tmp_path)
    with pytest.raises(AlreadyRunning, match=rf"pid {first.pid}\)"), servers(tmp_path):
        pass
    assert all(lives(pid) for pid in pids(tmp_path, *SERVERS))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_killed_launcher_takes_its_servers_along(
    tmp_path: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    launcher = launch("servers", tmp_path)
    running = pids(tmp_path, *SERVERS)
    launcher.kill()
    wait_for(lambda: not any(lives(pid) for pid in running))


def test_the_next_start_ends_what_a_killed_launcher_has_left_and_finds_its_data(
    tmp_path: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    with servers(tmp_path) as addresses:
        write(addresses)
    launcher = launch("servers", tmp_path, UNTIED="1")
    left = pids(tmp_path, *SERVERS)
    launcher.kill()
    launcher.wait()
    time.sleep(0.5)
    assert all(lives(pid) for pid in left)
    with servers(tmp_path) as addresses:
        assert not any(lives(pid) for pid in left)
        assert read(addresses) == ((7,), b"7", b"7")


def sockets_of(state: Path) -> list[Path]:
    """The sockets that a running SeaweedFS has made outside its folder."""
    return [path for line in (state / "s3.sockets").read_text().splitlines() if (path := Path(line)).exists()]


def test_sockets_of_a_killed_server_are_removed_by_the_next_start_also_where_its_folder_is_gone(
    tmp_path: Path, launch: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/x")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    gone, again, living = (tmp_path / name for name in ("gone", "again", "living"))
    with servers(living):
        launchers = [launch("servers", gone), launch("servers", again)]
        left = [path for state in (gone, again) for path in sockets_of(state)]
        assert len(left) >= 8
        running = pids(gone, "s3") + pids(again, "s3")
        for pid in [*running, *(launcher.pid for launcher in launchers)]:
            os.kill(pid, signal.SIGKILL)
        for launcher in launchers:
            launcher.wait(10)  # until then it is the one launcher of its folder
        wait_for(lambda: not any(lives(pid) for pid in running))
        assert all(path.exists() for path in left)
        for path in [*left, *sockets_of(living)]:
            os.utime(path, (0, 0))  # as if they were all made long ago
        shutil.rmtree(gone)
        in_use = sockets_of(living)
        with servers(again):
            assert not any(path.exists() for path in left)
            assert all(path.exists() for path in in_use)


def test_servers_killed_themselves_keep_their_data(tmp_path: Path) -> None:
    with servers(tmp_path) as addresses:
        write(addresses)
        time.sleep(1.1)  # Valkey writes its log to disk every second
        for pid in pids(tmp_path, *SERVERS):
            os.kill(pid, signal.SIGKILL)
    with servers(tmp_path) as addresses:
        assert read(addresses) == ((7,), b"7", b"7")


def test_the_environment_replaces_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("REDIS_URL", "redis://elsewhere"), ("S3_ENDPOINT_URL", "http://elsewhere")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("S3_BUCKET", "theirs")
    with servers(tmp_path) as addresses, psycopg.connect(addresses.database_url) as conn:
        assert conn.execute("show fsync").fetchone() == ("on",)
        assert conn.execute("show max_connections").fetchone() == ("200",)
    values = addresses.environment()
    assert (values["REDIS_URL"], values["S3_ENDPOINT_URL"], values["S3_BUCKET"]) == (
        "redis://elsewhere", "http://elsewhere", "theirs",
    )  # fmt: skip
    assert "S3_SECRET_ACCESS_KEY" not in values
    assert sorted(path.stem for path in tmp_path.glob("*.lock")) == ["initdb", "launcher", "postgres"]
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/x")
    with servers(tmp_path / "none") as addresses:
        assert addresses.database_url == "postgresql://elsewhere/x"
        assert not (tmp_path / "none" / "postgres").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="for root, as whom PostgreSQL does not run")
@pytest.mark.parametrize(("mode", "unshare"), [(0o755, True), (0o700, True), (0o700, False)])
def test_postgres_runs_for_root_in_open_and_closed_folders_with_and_without_namespaces(
    monkeypatch: pytest.MonkeyPatch, mode: int, unshare: bool
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://elsewhere")
    with tempfile.TemporaryDirectory() as folder:
        if not unshare:
            (Path(folder) / "unshare").write_text("#!/bin/sh\nexit 1\n")
            (Path(folder) / "unshare").chmod(0o755)
            monkeypatch.setenv("PATH", folder, prepend=os.pathsep)
        outer = Path(folder) / "outer"
        outer.mkdir()
        Path(folder).chmod(0o755)
        outer.chmod(mode)
        state = outer / "state"
        for _ in range(2):
            with servers(state) as addresses, psycopg.connect(addresses.database_url) as conn:
                (pid,) = pids(state, "postgres")
                assert conn.execute("select 1").fetchone() == (1,)
        assert not lives(pid)
        assert outer.stat().st_mode & 0o777 == mode


def test_a_first_start_that_was_cut_off_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://elsewhere")
    half = tmp_path / "postgres" / "data.new" / "global"
    half.mkdir(parents=True)
    (half / "pg_control").write_text("half")
    with servers(tmp_path) as addresses, psycopg.connect(addresses.database_url) as conn:
        assert conn.execute("select 1").fetchone() == (1,)
    assert not half.exists()


def test_a_server_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match=r"(?s)PostgreSQL ended with 1.*unrecognized configuration parameter"),
        servers(tmp_path, postgres_settings={"no_such_setting": "1"}),
    ):
        pass
    assert not any(lives(pid) for pid in pids(tmp_path, *SERVERS))


@pytest.mark.parametrize("taken", ["s3", "redis", "postgres"])
def test_a_port_that_somebody_takes_meanwhile_is_left_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    with socket.socket() as other:
        (port,) = free_ports(1)
        other.bind(("127.0.0.1", port))
        other.listen()
        found, chosen = _ports, [taken]

        def once_too_late() -> tuple[dict[str, int], int, int]:
            parts, redis_port, database_port = found()
            late = chosen.pop() if chosen else ""
            return (
                {**parts, "s3": port} if late == "s3" else parts,
                port if late == "redis" else redis_port,
                port if late == "postgres" else database_port,
            )

        monkeypatch.setattr("cli.embedded.servers._ports", once_too_late)
        with servers(tmp_path) as addresses:
            write(addresses)
            assert read(addresses) == ((7,), b"7", b"7")


def test_ports_are_distinct_and_out_of_the_way_of_outgoing_connections() -> None:
    ports = free_ports(50)
    both = ports + [port + 10_000 for port in ports]
    assert len(set(both)) == 100
    assert max(both) < 32_768


def test_ports_that_another_process_chose_and_does_not_use_yet_are_left_to_it() -> None:
    script = "from cli.embedded.servers import free_ports; print(*free_ports(2), flush=True); input()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = [int(each) for each in other.stdout.readline().split()]
        free = free_ports(1)[0]
        drawn = [*theirs, *(port - 10_000 for port in theirs), free]

        def chosen() -> int:
            with patch("random.SystemRandom.randrange", side_effect=[*drawn, *range(11_000, 12_000)]):
                return free_ports(1)[0]

        assert chosen() not in drawn  # nor one of its own a second time
        other.communicate("\n")
    with patch("random.SystemRandom.randrange", side_effect=theirs):
        assert free_ports(2) == theirs  # whose process has ended


def test_a_process_reserves_its_newest_ports_alone() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        free_ports(MOST_RESERVED)
    assert len(os.listdir("/proc/self/fd")) <= before + 2 * MOST_RESERVED


# Locks


def test_a_left_over_that_ignores_the_request_to_stop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locked, "STOP_SECONDS", 0.5)
    deaf = spawn(tmp_path, "deaf", ["/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"])
    wait_for(lambda: "deaf" in (tmp_path / "deaf.log").read_text())
    hold(tmp_path).close()
    assert deaf.wait() == -signal.SIGKILL


def test_a_number_in_the_file_of_a_free_lock_is_not_believed(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        (tmp_path / "server.lock").write_text(f"{bystander.pid} {int(signal.SIGKILL)}\n")
        hold(tmp_path).close()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    child = spawn(tmp_path, "ghost", ["/no/such/program"], standard_input="x" * 100_000)
    with pytest.raises(RuntimeError, match=r"(?s)Ghost ended with 1.*cannot start /no/such/program"):
        wait_ready(child, lambda: 1 / 0, "Ghost", tmp_path / "ghost.log", seconds=10)


def test_a_long_log_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked, "LOG_BYTES", 10)
    (tmp_path / "one.log").write_text("a long log of last time\n")
    spawn(tmp_path, "one", ["echo", "new"]).wait()
    assert (tmp_path / "one.log").read_text() == "new\n"
    assert (tmp_path / "one.log.1").read_text() == "a long log of last time\n"


def test_stopping_kills_a_whole_group(tmp_path: Path) -> None:
    parent = spawn(tmp_path, "parent", ["/bin/sh", "-c", "sleep 300 & echo $!; wait"])
    log = tmp_path / "parent.log"
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    stop([(parent, signal.SIGTERM)])
    wait_for(lambda: not lives(int(log.read_text())))


# Processes


def test_processes_are_started_logged_killed_and_stopped_one_by_one(tmp_path: Path, procfile: Path) -> None:
    started = Processes(tmp_path, {"GREETING": "hello"}, procfile=procfile)
    started.start()
    assert started.alive("first")
    assert started.alive("second")
    wait_for(lambda: started.log("first").read_text() == "1\n")
    with pytest.raises(ValueError, match="first runs already"):
        started.start_one("first")
    killed = started.pid("first")
    started.kill("first")
    assert not lives(killed)
    assert not started.alive("first")
    assert started.alive("second")
    started.start_one("first")
    wait_for(lambda: started.log("first").read_text() == "1\n1\n")
    assert psutil.Process(started.pid("first")).environ()["GREETING"] == "hello"
    all_pids = [started.pid(label) for label in ("first", "second")]
    started.stop()
    assert not any(lives(pid) for pid in all_pids)


def test_the_next_start_ends_all_processes_of_a_killed_launcher(
    tmp_path: Path, procfile: Path, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    launcher = launch(str(procfile), tmp_path, UNTIED="1")
    folder = tmp_path / "processes"
    wait_for(lambda: all(len((folder / f"{each}.lock").read_text()) > 1 for each in ("first", "first.2", "second")))
    left = pids(folder, "first", "first.2", "second")
    started = Processes(tmp_path, {}, procfile=procfile)
    with pytest.raises(AlreadyRunning):
        started.start()
    launcher.kill()
    launcher.wait()
    assert all(lives(pid) for pid in left)
    started.start_one("second")
    try:
        assert not any(lives(pid) for pid in left)
        assert started.alive("second")
    finally:
        started.stop()


def test_a_process_that_ends_by_itself_is_started_again_and_given_up_in_the_end(
    tmp_path: Path, procfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(processes, "RESTARTS", 2)
    procfile.write_text("steady: sleep 300\nweak: /bin/sh -c 'echo too weak; exit 3'\n")
    console = Console(record=True, width=200, file=(tmp_path / "console").open("w"))
    started = Processes(tmp_path, {}, procfile=procfile, console=console)
    started.start()
    try:
        assert supervise(started, console, threading.Event()) == 1
        assert started.log("weak").read_text() == "too weak\n" * 3
        assert started.alive("steady")
    finally:
        started.stop()
        console.file.close()
    shown = console.export_text()
    assert "weak      | too weak" in shown
    assert "weak ended by itself with 3" in shown


def test_supervision_ends_when_it_is_asked_to(tmp_path: Path, procfile: Path) -> None:
    started = Processes(tmp_path, {}, procfile=procfile)
    started.start()
    stopping = threading.Event()
    stopping.set()
    try:
        assert supervise(started, Console(quiet=True), stopping) == 0
    finally:
        started.stop()
