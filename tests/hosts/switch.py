"""The one wire between all hosts: reads what each sends from its TUN device, and hands it on, late, or not at all.

Not `tc netem`, which many kernels lack (those of small virtual machines, and ours), nor a bridge with it: what cuts a pair
of hosts, holds their packets back and loses some of them is one loop here, which works wherever there are TUN devices.
What is dropped vanishes in silence, as behind a switch that lost power: nobody is told that the other is gone.

A process of its own, started by `network.Network`: it must not wait for the driver's Python, and ends with it.
"""

import contextlib
import heapq
import json
import random
import selectors
import socket
import sys
import time
from os import close, read, write
from typing import NamedTuple

PACKET_BYTES = 2048  # above the MTU
AT_ONCE = 64  # packets taken from one host before the others have their turn


class Between(NamedTuple):
    """What becomes of packets between two hosts, in both directions. `loss` 1: they are cut off from each other."""

    loss: float
    delay_seconds: float


class Switch:
    """Ports by address, and what lies between them."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._ports: dict[bytes, int] = {}
        self._between: dict[tuple[bytes, bytes], Between] = {}
        self._held: list[tuple[float, int, bytes, bytes]] = []
        self._count = 0
        self._dice = random.Random(1)

    def run(self) -> None:
        """Hand packets on until whoever holds the other end of the control has gone."""
        while True:
            wait = max(0.0, self._held[0][0] - time.monotonic()) if self._held else None
            for key, _ in self._selector.select(wait):
                if key.fileobj is self._control:
                    if not self._told():
                        return
                else:
                    self._take(key.fd)
            while self._held and self._held[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(self._held)
                self._give(to, packet)

    def _told(self) -> bool:
        text, descriptors, _, _ = socket.recv_fds(self._control, 65_536, 1)
        if not text:
            return False
        order = json.loads(text)
        if "unplug" in order:
            self._unplug(socket.inet_aton(order["unplug"]))
        elif descriptors:
            self._plug(socket.inet_aton(order["plug"]), descriptors[0])
        else:
            self._between = {}
            for one, other, loss, delay in order["between"]:
                ends = socket.inet_aton(one), socket.inet_aton(other)
                self._between[ends] = self._between[ends[::-1]] = Between(loss, delay)
        self._control.send(b"done")
        return True

    def _plug(self, address: bytes, port: int) -> None:
        self._unplug(address)
        self._ports[address] = port
        self._selector.register(port, selectors.EVENT_READ)

    def _unplug(self, address: bytes) -> None:
        if (before := self._ports.pop(address, None)) is not None:
            self._selector.unregister(before)
            close(before)

    def _take(self, port: int) -> None:
        with contextlib.suppress(OSError):  # nothing more, or its host is gone
            for _ in range(AT_ONCE):
                packet = read(port, PACKET_BYTES)
                if packet[0] >> 4 != 4:
                    continue  # not of IPv4: the kernel's own looks for neighbours
                rule = self._between.get((packet[12:16], packet[16:20]))
                if rule is None:
                    self._give(packet[16:20], packet)
                elif self._dice.random() >= rule.loss:
                    self._count += 1
                    due = time.monotonic() + rule.delay_seconds
                    heapq.heappush(self._held, (due, self._count, packet[16:20], packet))

    def _give(self, to: bytes, packet: bytes) -> None:
        if (port := self._ports.get(to)) is not None:
            with contextlib.suppress(OSError):  # its host is gone: lost, as on any wire
                write(port, packet)


if __name__ == "__main__":
    Switch(socket.socket(fileno=int(sys.argv[1]))).run()
