"""Mail goes out once: odd addresses, servers that drip, and servers that are rude after they have taken it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from unittest.mock import patch
from uuid import uuid4

import pytest

from models.events.sending import Parcel
from tests.conftest import environment
from tests.receivers import receivers, sending
from tests.support import eventually, one
from tests.workers.deliver.test_mail import Box, mailing, reader, server, tell_payment
from workers.deliver import mail, post

pytestmark = pytest.mark.usefixtures("database")

Talk = Callable[[socket.socket, Callable[[], bytes]], None]


def parcel(address: str | None = "ada@example.com", title: str = "Hello") -> Parcel:
    return Parcel(
        uuid4(), datetime.now(UTC), uuid4(), "email", None, "announcement", datetime.now(UTC), 7, None,
        {"title": title, "body": "text"}, 0, address, [],
    )  # fmt: skip


@contextmanager
def talking(talk: Talk, **more: str) -> Iterator[list[bytes]]:
    """A mail server that does what `talk` does with each connection; yields the lines it got."""
    heard: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(near: socket.socket) -> None:
        file = near.makefile("rb")

        def line() -> bytes:
            got = file.readline()
            heard.append(got)
            return got

        try:
            talk(near, line)
        except OSError:
            pass
        finally:
            near.close()

    def accept() -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(near,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    url = f"smtp://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with receivers(0, SMTP_URL=url, MAIL_FROM="Mill <mill@example.com>", **more):
            yield heard
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def drip(near: socket.socket, text: bytes, pause: float = 0.1) -> None:
    for each in text:
        near.sendall(bytes([each]))
        time.sleep(pause)


def polite(
    near: socket.socket, line: Callable[[], bytes], *, farewell: bytes | None = b"221 bye\r\n", slow: float = 0
) -> None:
    near.sendall(b"220 here\r\n")
    taking = False
    while got := line():
        word = got[:4].upper()
        if taking:
            taking = got != b".\r\n"
            if not taking:
                near.sendall(b"250 taken\r\n")
        elif word == b"DATA":
            taking = True
            near.sendall(b"354 go on\r\n")
        elif word == b"QUIT":
            if farewell is None:
                time.sleep(30)
            near.sendall(farewell or b"")
            return
        else:
            drip(near, b"250 fine\r\n", slow)


@pytest.mark.parametrize("talk", [
    lambda near, _: drip(near, b"220 " + b"x" * 500 + b"\r\n"),
    lambda near, line: polite(near, line, slow=0.1),
    lambda near, _: drip(near, b"220-more\r\n" * 500),
], ids=["greeting", "answers", "lines without end"])  # fmt: skip
def test_a_mail_has_one_deadline_in_all(talk: Talk) -> None:
    with talking(talk):  # the time-out is 1 s
        began = time.monotonic()
        problem, permanent = mail.send(parcel())
        assert time.monotonic() - began < 2
    assert problem is not None
    assert "too_slow" in problem
    assert not permanent


@pytest.mark.parametrize("farewell", [b"421 no\r\n", b"\xff\xfe\r\n", b"", None], ids=["421", "noise", "cut", "hangs"])
def test_a_mail_that_was_taken_is_sent_whatever_the_server_says_at_the_end(farewell: bytes | None) -> None:
    with talking(lambda near, line: polite(near, line, farewell=farewell)) as heard:
        began = time.monotonic()
        assert mail.send(parcel()) == (None, False)
        assert time.monotonic() - began < 2
        assert heard.count(b".\r\n") == 1


def test_a_slow_mail_server_is_asked_as_often_as_the_schedule_says_and_no_more() -> None:
    with talking(lambda near, line: polite(near, line, slow=0.1), WEBHOOK_RETRY_SCALE="0.0000001",
                 WEBHOOK_TIMEOUT_SECONDS="0.2"):  # fmt: skip
        tell_payment(reader(), paid="€5")
        with sending():
            eventually(lambda: one("select status from deliveries") == ("failed",), what="the last attempt")
    assert one("select attempts from deliveries") == (len(post.SCHEDULE) + 1,)


@pytest.mark.parametrize("address", [
    "ada@exämple.com", "ädä@example.com", "a\r\nBcc: eve@example.com", "<>", "@", "a@b@c", "x" * 70_000 + "@example.com",
    "(", "[", "a@[", "=?utf-8?q?a?=@example.com", "a@x, b@y", "undisclosed:;", "\"", "a@\\", " ", "😀@example.com",
    "a@b\x7f", "=?utf-8?b?\x01?=", "group: a@x, b@y;", "a@" + "[" * 2000,
])  # fmt: skip
def test_an_odd_address_ends_in_an_attempt_that_counts(address: str) -> None:
    box = Box()
    with mailing() as port, server(box, port), environment({"WEBHOOK_RETRY_SCALE": "0.0000001"}):
        tell_payment(reader(address), paid="€5")
        with sending():
            eventually(lambda: one("select status from deliveries")[0] != "pending", what=f"an end for {address!r}")
        assert one("select attempts >= 1 from deliveries") == (True,)
    for got in box.got:
        assert got["bcc"] is None


def test_any_error_of_a_delivery_is_an_outcome() -> None:
    with patch.object(mail, "send", side_effect=TypeError("a fault of ours")):
        outcome = post.deliver(parcel(), 0)
    assert (outcome.delivered, outcome.again_after is None) == (False, False)
    assert outcome.entry["error"]
