"""Mail of events, against a real SMTP server on this machine."""

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from cli.embedded.servers import free_ports
from models.db import transaction
from tests.conftest import environment
from tests.receivers import receivers, sending, tell
from tests.support import account, eventually, one, rows

pytestmark = pytest.mark.usefixtures("database")


class Box:
    """Takes mail, after refusing as often as it is told."""

    def __init__(self, *refusals: str) -> None:
        self.refusals = list(refusals)
        self.tries = 0
        self.got: list[EmailMessage] = []

    async def handle_DATA(  # noqa: N802 - its name in aiosmtpd
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        self.tries += 1
        if self.refusals:
            return self.refusals.pop(0)
        self.got.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 taken"


@contextmanager
def server(box: Box, port: int, *, password: str | None = None) -> Iterator[None]:
    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: Any, given: Any) -> AuthResult:
        return AuthResult(success=isinstance(given, LoginPassword) and given.password == (password or "").encode())

    extra = {"authenticator": check, "auth_required": True, "auth_require_tls": False} if password else {}
    controller = Controller(box, hostname="127.0.0.1", port=port, **extra)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


@contextmanager
def mailing(scheme: str = "smtp", user: str = "") -> Iterator[int]:
    """Settings that name a mail server's port, on which nobody listens yet."""
    port = free_ports(1)[0]
    url = f"{scheme}://{user}127.0.0.1:{port}"
    with receivers(0, SMTP_URL=url, MAIL_FROM="Mill <mill@example.com>"):
        yield port


def reader(address: str | None = "ada@example.com"):
    who = account()
    with transaction() as conn:
        conn.execute(
            "update users u set email = %s from accounts a where a.user_id = u.id and a.id = %s", [address, who]
        )
    return who


def tell_payment(who, **data: Any) -> None:
    from models import events

    with transaction() as conn:
        conn.execute("select 1 from accounts where id = %s for no key update", [who])
        events.add(conn, who, "payment.succeeded", data)


# The test's server takes a password without TLS, and warns of itself.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_an_event_becomes_a_notification_and_a_mail_in_text_and_html() -> None:
    box = Box()
    with mailing(user="user:p%40ss@") as port, server(box, port, password="p@ss"), sending():
        who = reader()
        tell_payment(who, paid="<b>€5</b>\r\nBcc: eve@example.com")
        eventually(lambda: one("select status from deliveries") == ("delivered",))
    mail = box.got[0]
    assert (mail["to"], mail["from"], mail["subject"]) == (
        "ada@example.com",
        "Mill <mill@example.com>",
        "Payment received",
    )
    assert mail["bcc"] is None
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert "<b>€5</b>" in plain.get_content()
    assert "&lt;b&gt;€5&lt;/b&gt;" in html.get_content()
    delivery = one("select id, status from deliveries where channel = 'email'")
    assert delivery[1] == "delivered"
    assert str(delivery[0]) in mail["message-id"]
    assert one("select title from notifications where account_id = %s", who) == ("Payment received",)


def test_a_mail_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() -> None:
    box = Box("451 later", "451 later", "554 never")
    with mailing() as port, server(box, port), sending():
        tell(reader(), kind="subscription.expired")
        eventually(lambda: one("select status from deliveries")[0] == "failed")
    assert box.tries == 3
    log = one("select log from deliveries")[0]
    assert [each["error"][:3] for each in log] == ["451", "451", "554"]
    assert box.got == []


def test_mail_waits_for_a_server_that_is_away_and_goes_out_when_it_is_back() -> None:
    box = Box()
    with mailing() as port, sending():
        tell(reader(), kind="course.completed")
        eventually(lambda: one("select attempts from deliveries")[0] >= 1)
        with server(box, port):
            eventually(lambda: len(box.got) == 1)
            eventually(lambda: one("select status from deliveries") == ("delivered",))


def test_people_without_an_address_and_events_that_are_no_news_get_no_mail() -> None:
    with environment({"SMTP_URL": "smtp://127.0.0.1:9"}):
        tell(reader(None), kind="subscription.expired")
        tell(reader(), kind="credits.granted")
    assert rows("select 1 from deliveries") == []
    assert len(rows("select 1 from notifications")) == 1


def test_starttls_is_insisted_on() -> None:
    from workers import mail

    with mailing("smtp+starttls") as port, server(Box(), port):
        with pytest.raises(smtplib.SMTPNotSupportedError):
            mail._connect()
