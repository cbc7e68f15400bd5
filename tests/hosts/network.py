"""Hosts as network namespaces, each on the wire by a TUN device that `switch` holds the other end of.

The namespaces have no names: each lives as long as a process in it, or the descriptor that the driver has of it. So there
is nothing to be tidied up after a driver that was killed; `ip netns` would leave names, devices and a bridge behind. To
look into one while it runs: `nsenter --net --target PID ss -tno`.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.hosts.switch import Between

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
TUN_WITHOUT_HEADER = 0x0001 | 0x1000
NET = "/proc/thread-self/ns/net"
MTU = 1500
ROOT = Path(__file__).resolve().parents[2]
SWITCH_SECONDS = 10.0  # in which the switch must have done as it was told

_libc = ctypes.CDLL(None, use_errno=True)
Pair = tuple[str, str]


def why_not() -> str | None:
    """Why there can be no hosts here. None: there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces take Linux and root"
    try:
        with _returning():
            _new_namespace()
            os.close(_tun())
    except OSError as error:
        return f"network namespaces or TUN devices cannot be made here: {error}"
    return None


class Host:
    """One machine: its address, and the namespace that it has until its next power cut."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self._namespace = -1

    def boot(self) -> int:
        """Come up with no connection and no process. Returns its end of the wire, which the caller closes."""
        self.shut_down()
        with _returning():
            _new_namespace()
            wire = _tun()
            for command in (f"addr add {self.address}/24 dev wire", f"link set wire up mtu {MTU}", "link set lo up"):
                subprocess.run(["ip", *command.split()], check=True, capture_output=True)
            self._namespace = os.open(NET, os.O_RDONLY)
        return wire

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread, and what it starts, is on this host for the time of the block."""
        with _returning():
            self.enter()
            yield

    def enter(self) -> None:
        """This thread, and what it starts, is on this host from now on."""
        _checked(_libc.setns(self._namespace, CLONE_NEWNET))

    def sockets(self) -> set[str]:
        """Its own ends of TCP connections over IPv4, as address:port."""
        with self.inside():
            lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
        ends = [line.split()[1].partition(":")[::2] for line in lines]
        return {f"{socket.inet_ntoa(int(address, 16).to_bytes(4, 'little'))}:{int(port, 16)}" for address, port in ends}

    def kill(self) -> None:
        """kill -9 of every process that it has, those included that have left their group."""
        if self._namespace < 0:
            return
        ours = os.fstat(self._namespace).st_ino
        while found := [pid for pid in _pids() if _namespace_of(pid) == ours and pid != os.getpid()]:
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def shut_down(self) -> None:
        """End it with all that runs on it. Nothing happens if it is not up."""
        self.kill()
        if self._namespace >= 0:
            os.close(self._namespace)
            self._namespace = -1


class Network:
    """All hosts, and the switch between them."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(SWITCH_SECONDS)
        with its:
            # In a session of its own: a Ctrl-C is the driver's, who still needs the wire to stop what runs.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.hosts.switch", str(its.fileno())], pass_fds=[its.fileno()], cwd=ROOT,
                start_new_session=True,
            )  # fmt: skip
        self._control = ours

    def add(self, name: str) -> Host:
        """Another host, up and on the wire."""
        host = self.hosts[name] = Host(name, f"10.77.0.{len(self.hosts) + 1}")
        self.boot(host)
        return host

    def boot(self, host: Host) -> None:
        """Boot a host and put it on the wire; what it was before is gone, without a word to anybody."""
        self._tell({"unplug": host.address})  # before its processes die: their kernel would say goodbye for them
        wire = host.boot()
        try:
            self._tell({"plug": host.address}, wire)
        finally:
            os.close(wire)

    def put_between(self, pairs: Iterable[Pair], between: Between) -> None:
        """Say what lies between these pairs; between all others nothing does."""
        rules = [(self.hosts[one].address, self.hosts[other].address, *between) for one, other in pairs]
        self._tell({"between": rules})

    def heal(self) -> None:
        """Nothing lies between any two hosts."""
        self.put_between([], Between(0.0, 0.0))

    def pairs_of(self, name: str) -> list[Pair]:
        """A host with each of the others."""
        return [(name, other) for other in self.hosts if other != name]

    def _tell(self, order: dict[str, Any], *descriptors: int) -> None:
        socket.send_fds(self._control, [json.dumps(order).encode()], descriptors)
        if not self._control.recv(16):
            raise RuntimeError("the switch has ended")

    def close(self) -> None:
        """Shut everything down."""
        for host in self.hosts.values():
            host.shut_down()
        self._control.close()
        self._process.wait(SWITCH_SECONDS)


@contextmanager
def _returning() -> Iterator[None]:
    home = os.open(NET, os.O_RDONLY)
    try:
        yield
    finally:
        _checked(_libc.setns(home, CLONE_NEWNET))
        os.close(home)


def _new_namespace() -> None:
    _checked(_libc.unshare(CLONE_NEWNET))


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _tun() -> int:
    """A device called `wire` in this namespace; it goes when this descriptor does."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"wire", TUN_WITHOUT_HEADER))
    except OSError:
        os.close(device)
        raise
    return device


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _namespace_of(pid: int) -> int | None:
    try:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return None  # dead already; whoever started it has yet to look
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return None
