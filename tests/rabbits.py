"""A RabbitMQ of a test's own, with an epmd of its own, for the time of a block. It ends with pytest, however that ends."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cli.embedded import locked
from cli.embedded.servers import free_ports
from common.amqp_client import amqp_connection, amqp_troubles, close_politely
from tests.frozen import frozen
from tests.support import eventually
from workers.amqp_carrier import QUEUE

# Debian's `rabbitmq-server` in the path changes the user and the folder: these are what it calls.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
EPMD = shutil.which("epmd")
needs_rabbitmq = pytest.mark.skipif(
    EPMD is None or not (PROGRAMS / "rabbitmq-server").exists(), reason="RabbitMQ is not installed (make tools)"
)
USER, PASSWORD, VHOST = "headrace", "behind-the-burrow", "ours"


class Rabbit:
    """A node without plugins, whose users, queues and log lie in one folder."""

    def __init__(self, folder: Path) -> None:
        self.port, self._distribution, self._names = free_ports(3)
        self._folder = folder
        self.url = f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{VHOST}"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\ndefault_user = {USER}\ndefault_pass = {PASSWORD}\n"
            f"default_vhost = {VHOST}\ndisk_free_limit.absolute = 1MB\n"
        )
        (folder / "plugins").write_text("[].\n")
        self._environment = {
            "HOME": str(folder), "RABBITMQ_NODENAME": "headrace@localhost", "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder), "RABBITMQ_LOGS": "-", "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"), "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_DIST_PORT": str(self._distribution), "RABBITMQ_PID_FILE": str(folder / "pid"),
            "ERL_EPMD_PORT": str(self._names), "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Without a shell that would wait for it: the child is the server itself. One core is enough.
            "RABBITMQ_ALLOW_INPUT": "1", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput +S 1:1 +SDio 1",
        }  # fmt: skip
        self._epmd: subprocess.Popen[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert EPMD is not None
        if self._epmd is None:
            # In the foreground; the server would start one that outlives it.
            self._epmd = locked.spawn(self._folder, "epmd", [EPMD, "-address", "127.0.0.1", "-port", str(self._names)])
        self._child = locked.spawn(
            self._folder, "rabbitmq", [PROGRAMS / "rabbitmq-server"], environment=self._environment, stop_signal=signal.SIGKILL
        )  # fmt: skip
        eventually(self._answers, seconds=60, what="RabbitMQ")

    def _answers(self) -> bool:
        with suppress(*amqp_troubles()):
            close_politely(amqp_connection(self.url, connect_seconds=2))
            return True
        return False

    def kill(self) -> None:
        """As a machine does that loses its power."""
        if self._child is not None:
            locked.stop([(self._child, signal.SIGKILL)])
            self._child = None

    def stop(self) -> None:
        self.kill()
        if self._epmd is not None:
            locked.stop([(self._epmd, signal.SIGKILL)])
            self._epmd = None

    @contextmanager
    def hung(self) -> Iterator[None]:
        """It takes connections, and says nothing, for the time of a block."""
        assert self._child is not None
        with frozen(self._child.pid):
            yield

    @contextmanager
    def without_memory(self) -> Iterator[None]:
        """It reads nothing more of whoever sends messages, for the time of a block."""
        self.control("set_vm_memory_high_watermark", "0.00001")
        try:
            yield
        finally:
            self.control("set_vm_memory_high_watermark", "0.4")

    def control(self, *words: str) -> str:
        """What `rabbitmqctl` says."""
        environment = {**os.environ, **self._environment, "LANG": "C.UTF-8"}
        done = subprocess.run(
            [PROGRAMS / "rabbitmqctl", "--quiet", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel of a connection of one's own."""
        connection = amqp_connection(self.url, connect_seconds=5)
        try:
            yield connection.channel()
        finally:
            close_politely(connection)

    def depth(self, queue: str = "interactive") -> int:
        """How many messages wait in a queue of ours, and no worker has."""
        with self.channel() as channel:
            return int(channel.queue_declare(QUEUE.format(queue), passive=True).method.message_count)

    def queues(self) -> set[str]:
        """The names of all queues."""
        return set(self.control("list_queues", "--vhost", VHOST, "--no-table-headers", "name").split())

    def cut(self) -> None:
        """End all connections that there are."""
        self.control("close_all_connections", "--global", "a test")
        eventually(lambda: not self.connections(), what="the end of all connections")

    def connections(self) -> list[str]:
        """Those that are open now."""
        return self.control("list_connections", "--no-table-headers", "pid").split()

    def version(self) -> str:
        return self.control("eval", "rabbit_misc:version().").strip().strip('"')

    def forget(self) -> None:
        """Delete the queues, as a node that was made anew."""
        with self.channel() as channel:
            for queue in ("interactive", "batch"):
                channel.queue_delete(QUEUE.format(queue))


@contextmanager
def rabbitmq(folder: Path) -> Iterator[Rabbit]:
    """A server, for the time of a block."""
    made = Rabbit(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
