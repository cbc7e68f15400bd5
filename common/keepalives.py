"""What a TCP socket is told so that it notices that the other end is gone, though nobody says so and nothing is sent.

A host that lost its power, or a firewall that forgot a connection, sends nothing: who only waits for an answer would wait
until its own time-out. It also keeps the connection known to firewalls while a provider works in silence for minutes.
"""

import socket

IDLE_SECONDS, INTERVAL_SECONDS, COUNT = 10, 5, 2  # a look after 10 s of silence, and gone 10 s later
UNSEEN_MILLISECONDS = 20_000  # after which what was sent and not confirmed ends the connection


def keepalive_options() -> list[tuple[int, int, int]]:
    """Options for sockets; those that this system has."""
    wanted = {
        "TCP_KEEPIDLE": IDLE_SECONDS, "TCP_KEEPINTVL": INTERVAL_SECONDS, "TCP_KEEPCNT": COUNT, "TCP_USER_TIMEOUT": UNSEEN_MILLISECONDS,
    }  # fmt: skip
    there = [
        (socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in wanted.items() if hasattr(socket, name)
    ]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *there]
