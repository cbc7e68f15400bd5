"""Another user of the machine gains nothing from the embedded servers: not by their ports, sockets, files or command lines."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.embedded.servers import Addresses, servers
from tests.cli.test_embedded import SERVERS, _nothing_is_replaced, lives, pids, s3_of, wait_for  # noqa: F401 - a fixture

ROOT = Path(__file__).resolve().parents[2]
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
for user, password in (("app", ""), ("app", "app"), ("postgres", ""), ("root", "")):
    try:
        psycopg.connect(host="127.0.0.1", port=given["postgres"], user=user, password=password, dbname="postgres")
        gained.append(f"PostgreSQL lets {user} in")
    except psycopg.OperationalError:
        pass
for words in (b"PING", b"AUTH default", b"AUTH default default", b"HELLO 3 AUTH default x", b"CONFIG GET *", b"FLUSHALL"):
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


def gained_by_a_stranger(state: Path, addresses: Addresses) -> list[str]:
    """What another user of this machine reaches of running servers, against each port and each socket that they have."""
    postgres, redis, s3 = pids(state, *SERVERS)
    ports = ports_of_seaweed(s3)
    assert listening(s3) == set(ports.values())  # none that is not known, and so tried
    assert len(listening(postgres)) == len(listening(redis)) == 1
    unix = [each.laddr for pid in (postgres, redis, s3) for each in psutil.Process(pid).net_connections("unix")]
    place = "127.0.0.1:{}.{}"
    given = {
        "user": STRANGER,
        "weed": str(WEED),
        "ports": sorted(ports.values()),
        "sockets": [str(state / "s3" / path) if not path.startswith(("/", "@")) else path for path in unix if path],
        "folders": [str(state), str(state / "s3"), str(state / "postgres"), str(state / "redis")],
        "postgres": int(addresses.database_url.rpartition(":")[2].partition("/")[0]),
        "redis": int(addresses.redis_url.rpartition(":")[2].partition("/")[0]),
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
    with servers(state) as addresses:
        s3 = s3_of(addresses)
        s3.put_object(Bucket=addresses.s3_bucket, Key="kept", Body=b"7" * 100_000)
        assert gained_by_a_stranger(state, addresses) == []
        assert s3.get_object(Bucket=addresses.s3_bucket, Key="kept")["Body"].read() == b"7" * 100_000
        s3.close()
