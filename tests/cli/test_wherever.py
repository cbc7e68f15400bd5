"""`headrace demo` and `headrace up` where a stranger starts them: whatever the path, the user, the limits, the tree, the
network and the number of the process are.
"""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from dotenv import dotenv_values

from cli.embedded import locked
from cli.embedded.locked import private_folder
from cli.embedded.servers import free_ports, servers
from tests.cli.embedded.test_embedded import processes_of
from tests.common.test_first import FIRST, can_be_first
from tests.support import OWN_SECRET
from tests.test_repository import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-c", "from cli.main import main; main()"]
ODD = "a path with späces, ünd 'quotes'"

# No way out but loopback, and as few descriptors as many systems give.
APART = """
import fcntl, os, resource, socket, struct, sys
with socket.socket() as any:
    fcntl.ioctl(any, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
os.execvp(sys.argv[1], sys.argv[1:])
"""


def as_an_ordinary_user_without_network() -> list[str]:
    """What stands before a command for that; nothing where we are an ordinary user already."""
    if os.geteuid() != 0 or not can_be_first():
        return []
    # This Python may lie in root's home: the user may read what is closed to it, and write nothing more than its own.
    reading = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    user = ("setpriv", "--reuid=nobody", "--regid=65534", "--clear-groups", *reading, "--")
    return ["unshare", "--net", sys.executable, "-c", APART, *user]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with an odd name that every user reaches."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = Path(folder) / ODD
        made.mkdir(mode=0o755)
        yield made
        for path in made.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)


def bare_environment(**more: str) -> dict[str, str]:
    """No HOME, no locale, no settings."""
    return {"PATH": os.environ["PATH"], **more}


@pytest.mark.timeout(300)
def test_the_demo_runs_for_anybody_from_a_read_only_tree_without_home_and_network(place: Path) -> None:
    tree, state = place / "tree", place / "state ö"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Procfile", tree)
    for path in [*tree.rglob("*"), tree]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    state.mkdir()
    before = as_an_ordinary_user_without_network()
    if before:
        os.chown(state, 65534, 65534)
    done = subprocess.run(
        [*before, *PROGRAM, "demo", "--json"], cwd=tree, capture_output=True, text=True, check=False,
        env=bare_environment(HEADRACE_STATE=str(state), PYTHONPATH=str(tree)),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert len(list((state / "demo" / "results").iterdir())) == 7
    assert sorted(path.name for path in tree.iterdir()) == sorted([*PACKAGES, "Procfile"])
    assert processes_of(state) == []
    for folder in (state, state / "demo"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """Every command line that any process of this machine has during the block, also for a moment."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    seen.add((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def left_open(state: Path, secrets: list[str]) -> list[str]:
    """Files of a state that hold a secret and may be read by others, and folders that others may enter."""
    found = [str(each) for each in (state, state / "s3") if stat.S_IMODE(each.stat().st_mode) != 0o700]
    for path in state.rglob("*"):
        if path.is_file() and path.stat().st_size < 1_000_000:
            content = path.read_bytes()
            if any(secret.encode() in content for secret in secrets) and stat.S_IMODE(path.stat().st_mode) & 0o077:
                found.append(str(path))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.timeout(300)
def test_up_as_the_first_process_takes_its_database_from_the_env_file_shows_no_secret_and_stops_cleanly(
    place: Path, database: str
) -> None:
    state, port = place / ".headrace", free_ports(1)[0]
    state.mkdir(mode=0o755)  # as an earlier version left it
    earlier = {name: f"{name}-{'0f1e2d3c4b' * 4}" for name in ("postgres", "redis", "s3_access", "s3_secret")}
    (state / "secrets.json").write_text(json.dumps(earlier))
    (state / "env").write_text("DATABASE_URL=postgresql://old@127.0.0.1:9/old\n")
    (place / ".env").write_text(f"DATABASE_URL={database}\nSECRET_KEY={OWN_SECRET}\n")
    for path in (state / "secrets.json", state / "env"):
        path.chmod(0o644)
    before = FIRST if can_be_first() else ()
    with command_lines() as seen:
        launcher = subprocess.Popen(
            [*before, *PROGRAM, "up", "--json", f"--port={port}"], cwd=place, text=True, stdout=subprocess.PIPE,
            env=bare_environment(PYTHONPATH=str(ROOT)),
        )  # fmt: skip
        try:
            assert launcher.stdout is not None
            told = ""
            while not told.rstrip().endswith("}") and (line := launcher.stdout.readline()):
                told += line
            assert json.loads(told)["url"] == f"http://127.0.0.1:{port}"
            password = database.partition("@")[0].rpartition(":")[2]
            secrets = [OWN_SECRET, password, earlier["redis"], earlier["s3_secret"]]
            assert left_open(state, secrets) == []
            told_to_others = dotenv_values(state / "env")
            assert told_to_others["DATABASE_URL"] == database
            assert told_to_others["SECRET_KEY"] == OWN_SECRET
            assert told_to_others["SKETCH_BOOK"] == str(state / "sketch.db")
            assert not (state / "postgres").exists()
            with psycopg.connect(database) as conn:
                assert conn.execute("select count(*) > 0 from worker_processes").fetchone() == (True,)
            first = psutil.Process(launcher.pid).children()[0] if before else psutil.Process(launcher.pid)
            first.send_signal(signal.SIGTERM)
            assert launcher.wait(60) == 0
        finally:
            launcher.kill()
            launcher.communicate()
    assert any("weed" in line for line in seen)
    assert [line for line in seen if any(secret in line for secret in secrets)] == []
    assert processes_of(place) == []


# What a state folder may be


def test_a_folder_that_others_use_too_is_not_closed_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir(mode=0o755)
    for folder in (shared, tmp_path / "home"):
        mode = folder.stat().st_mode
        with pytest.raises(RuntimeError, match="not this user's own"), servers(folder):
            pass
        assert folder.stat().st_mode == mode


def test_a_folder_in_headraces_own_is_closed_with_it(tmp_path: Path) -> None:
    inner = tmp_path / ".headrace" / "demo"
    inner.mkdir(parents=True, mode=0o755)
    inner.parent.chmod(0o755)
    private_folder(inner)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (inner, inner.parent)] == [0o700, 0o700]


def test_a_secret_that_an_earlier_version_left_open_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("kept")
    path.chmod(0o644)
    assert locked.read_private(path, lambda: "new") == "kept"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
