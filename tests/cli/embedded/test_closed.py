"""Another user of the machine gains nothing from the embedded servers: not by their ports, sockets, files or command lines."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis
import yaml

from cli.embedded.locked import spawn, stop, wait_ready
from cli.embedded.seaweed import PARTS, STOP_SIGNAL, probe, sockets
from cli.embedded.servers import Addresses, free_ports, servers
from cli.embedded.valkey import program
from tests.cli.embedded.test_embedded import SERVERS, _nothing_is_replaced, pids, s3_of  # noqa: F401 - a fixture
from tests.support import eventually

ROOT = Path(__file__).resolve().parents[3]
STRANGER = 54_321  # nobody's number
WEED = Path(sysconfig.get_path("scripts")) / "weed"
for_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

# Runs as root only until it has imported what it needs: Python itself may lie out of another user's reach.
STRANGERS_TRIALS = """
import encodings.idna, http.client, json, os, socket, ssl, subprocess, sys
import psycopg
given = json.loads(sys.argv[1])
weed = os.open(given["weed"], os.O_RDONLY)
os.setgroups([]); os.setgid(given["user"]); os.setuid(given["user"])
gained = []

def grpc(port, wrap):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        with wrap(plain) as connection:
            connection.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            return connection.recv(9)[3:4] == b"\\x04"  # a frame of settings: it speaks gRPC with us

context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.set_alpn_protocols(["h2"])
ways = {"plain": lambda s: s, "tls": lambda s: context.wrap_socket(s)}
asked = [("GET", "/dir/assign"), ("GET", "/dir/lookup?volumeId=1"), ("GET", "/col/delete?collection=headrace"),
         ("GET", "/vol/status"), ("GET", "/buckets/headrace/kept"), ("DELETE", "/buckets/headrace/kept"),
         ("DELETE", "/buckets?recursive=true"), ("PUT", "/buckets/headrace/kept"), ("POST", "/buckets/headrace/new"),
         ("POST", "/submit"), ("GET", "/headrace/kept"), ("DELETE", "/headrace/kept"), ("POST", "/.tus/"),
         ("DELETE", "/1,01637037d6"), ("GET", "/metrics"), ("GET", "/ui/index.html"), ("GET", "/login")]
for port in given["ports"]:
    for name, wrap in ways.items():
        try:
            if grpc(port, wrap):
                gained.append(f"{port} speaks gRPC ({name})")
        except OSError:
            pass
        for method, path in asked:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, wrap(plain) as connection:
                    client = http.client.HTTPConnection("127.0.0.1", port)
                    client.sock = connection
                    client.request(method, path, body=b"" if method == "GET" else b"stranger")
                    if client.getresponse().status < 400:
                        gained.append(f"{port} answers {method} {path} ({name})")
            except (OSError, http.client.HTTPException):
                if name == "tls":
                    break  # it is no TLS port, or one that wants a certificate whatever is asked
for path in given["sockets"]:
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(path)
            gained.append(f"{path} takes connections")
        except OSError:
            pass
for path in given["folders"]:
    try:
        gained.append(f"{path} shows {os.listdir(path)}")
    except PermissionError:
        pass
users = (("app", ""), ("app", "app"), ("postgres", ""), ("root", ""))
for user, password in users if given["postgres"] else ():
    try:
        psycopg.connect(host="127.0.0.1", port=given["postgres"], user=user, password=password, dbname="postgres")
        gained.append(f"PostgreSQL lets {user} in")
    except psycopg.OperationalError:
        pass
commands = (b"PING", b"AUTH default", b"AUTH default default", b"HELLO 3 AUTH default x", b"CONFIG GET *", b"FLUSHALL")
for words in commands if given["redis"] else ():
    with socket.create_connection(("127.0.0.1", given["redis"]), timeout=5) as connection:
        connection.sendall(words + b"\\r\\n")
        if (answer := connection.recv(100))[:1] != b"-":
            gained.append(f"Valkey answers {words} with {answer}")
shell = [f"/proc/self/fd/{weed}", "shell", "-master=" + given["master"], "-filer=" + given["filer"]]
try:
    done = subprocess.run(shell, input="fs.rm /buckets/headrace/kept\\nfs.ls /buckets/headrace\\nexit\\n", text=True,
                          capture_output=True, timeout=3, pass_fds=[weed], cwd="/", env={})
    gained.append(f"weed shell says {done.stdout}")
except subprocess.TimeoutExpired:
    pass
print(json.dumps(gained))
"""


def listening(pid: int) -> set[int]:
    return {each.laddr.port for each in psutil.Process(pid).net_connections("tcp") if each.status == "LISTEN"}


def ports_of_seaweed(pid: int) -> dict[str, int]:
    """The ports on its command line, by their flags."""
    found = (
        re.fullmatch(r"-([a-z0-9]+\.port(?:\.grpc)?)=([1-9][0-9]*)", part) for part in psutil.Process(pid).cmdline()
    )
    return {match[1]: int(match[2]) for match in found if match}


def gained_by_a_stranger(seaweed: int, folders: list[Path], postgres: int = 0, redis: int = 0) -> list[str]:
    """What another user of this machine reaches: of a SeaweedFS, against each port and socket that it has, of folders, and
    of servers at these ports.
    """
    ports = ports_of_seaweed(seaweed)
    eventually(lambda: listening(seaweed) >= set(ports.values()), what="all parts of SeaweedFS")
    assert listening(seaweed) == set(ports.values())  # none that is not known, and so tried
    process = psutil.Process(seaweed)
    unix = [each.laddr for each in process.net_connections("unix") if each.laddr]
    place = "127.0.0.1:{}.{}"
    given = {
        "user": STRANGER,
        "weed": str(WEED),
        "ports": sorted(ports.values()),
        "sockets": [path if path.startswith(("/", "@")) else str(Path(process.cwd()) / path) for path in unix],
        "folders": [str(folder) for folder in folders],
        "postgres": postgres,
        "redis": redis,
        "master": place.format(ports["master.port"], ports["master.port.grpc"]),
        "filer": place.format(ports["filer.port"], ports["filer.port.grpc"]),
    }
    assert len(given["sockets"]) >= 5
    done = subprocess.run(
        [sys.executable, "-c", STRANGERS_TRIALS, json.dumps(given)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def written_and_read(addresses: Addresses) -> Iterator[None]:
    """What lies in the bucket before is there after."""
    s3 = s3_of(addresses)
    s3.put_object(Bucket=addresses.s3_bucket, Key="kept", Body=b"7" * 100_000)
    yield
    assert s3.get_object(Bucket=addresses.s3_bucket, Key="kept")["Body"].read() == b"7" * 100_000
    s3.close()


kept = contextmanager(written_and_read)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user reaches, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@for_root
@pytest.mark.timeout(300)
def test_another_user_reaches_nothing_of_the_embedded_servers(place: Path) -> None:
    state = place / "state"
    state.mkdir(mode=0o755)  # as an earlier version left it
    with servers(state) as addresses, kept(addresses):
        postgres, redis, s3 = pids(state, *SERVERS)
        assert len(listening(postgres)) == len(listening(redis)) == 1
        assert not [
            each for pid in (postgres, redis) for each in psutil.Process(pid).net_connections("unix") if each.laddr
        ]
        folders = [state, state / "s3", state / "postgres", state / "redis"]
        assert gained_by_a_stranger(s3, folders, *listening(postgres), *listening(redis)) == []


@for_root
@pytest.mark.timeout(300)
def test_another_container_reaches_nothing_of_composes_s3_server_but_s3(place: Path) -> None:
    """Its very command, with ports of our own, and with the keys that compose makes for it."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    keys, command = shlex.split(services["s3-keys"]["command"]), services["s3"]["command"]
    assert keys[:-1] == ["python", "-m", "cli.embedded.seaweed_keys"]
    assert f"s3-keys:{keys[-1]}:ro" in services["s3"]["volumes"]
    folder, ports = place / "keys", dict(zip(PARTS, free_ports(len(PARTS)), strict=True))
    subprocess.run([sys.executable, *keys[1:-1], str(folder)], cwd=ROOT, check=True)  # where settings are none
    (place / "data").mkdir()
    moved = [part for part in command if not part.startswith(("-dir=", "-ip.bind=", "-s3.port="))]
    moved += ["-dir=../data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    moved += [f"-{part}.port={port}" for part, port in ports.items()]
    moved += [f"-{part}.port.grpc={port + 10_000}" for part, port in ports.items()]
    url = f"http://127.0.0.1:{ports['s3']}"
    child = spawn(
        place, "s3", [WEED, "-logtostderr=true", *moved], cwd=folder,
        environment={"AWS_ACCESS_KEY_ID": "composes", "AWS_SECRET_ACCESS_KEY": "own-5d0b7c"},
    )  # fmt: skip
    try:
        wait_ready(child, probe(url, "composes", "own-5d0b7c", "headrace"), "SeaweedFS", place / "s3.log")
        with kept(Addresses("", "", url, "headrace", "composes", "own-5d0b7c")):
            assert gained_by_a_stranger(child.pid, [folder]) == []
    finally:
        stop([(child, STOP_SIGNAL)])
        for path in sockets(ports):
            path.unlink(missing_ok=True)


def test_composes_redis_wants_its_password_and_shows_it_on_no_command_line(tmp_path: Path) -> None:
    """Its very command, with a port and a folder of its own."""
    redis_service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["redis"]
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker-entrypoint.sh").write_text('#!/bin/sh\nexec "$@"\n')
    (programs / "docker-entrypoint.sh").chmod(0o755)
    (programs / "valkey-server").symlink_to(program())
    (port,) = free_ports(1)
    shell, flag, text = (part.replace("$$", "$") for part in redis_service["command"])
    text = text.replace("valkey-server -", f"valkey-server - --bind 127.0.0.1 --port {port} --dir {tmp_path}", 1)
    password = "5d0b7c with a space"
    environment = {"REDIS_PASSWORD": password, "PATH": f"{programs}:{os.environ['PATH']}"}
    child = spawn(tmp_path, "redis", [shell, flag, text], environment=environment)
    try:
        with redis.Redis(port=port, password=password) as client:
            wait_ready(child, client.ping, "Valkey", tmp_path / "redis.log")
            assert client.config_get("appendonly") == {"appendonly": "yes"} or client.config_get("appendonly") == {
                b"appendonly": b"yes"
            }
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        process = psutil.Process(child.pid)
        assert process.name() == "valkey-server"  # the very process that is told to stop
        assert password not in " ".join(process.cmdline())
    finally:
        stop([(child, signal.SIGTERM)])
