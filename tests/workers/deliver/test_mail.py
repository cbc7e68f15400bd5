"""Mail of events, against a real SMTP server on this machine."""

import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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
def server(box: Box, port: int, *, password: str | None = None, **more: Any) -> Iterator[None]:
    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: Any, given: Any) -> AuthResult:
        return AuthResult(success=isinstance(given, LoginPassword) and given.password == (password or "").encode())

    extra = {"authenticator": check, "auth_required": True, "auth_require_tls": False} if password else {}
    controller = Controller(box, hostname="127.0.0.1", port=port, ready_timeout=60, **extra, **more)
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
    from models.events import events

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
    from workers.deliver import mail

    with mailing("smtp+starttls") as port, server(Box(), port):
        with pytest.raises(smtplib.SMTPNotSupportedError):
            mail._connect(time.monotonic() + 5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key in one file, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tls") / "mail.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@contextmanager
def mailing_by_tls(scheme: str, box: Box, certificate: Path) -> Iterator[None]:
    """A mail server that speaks TLS only, and settings that name it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    how = {"ssl_context": context} if scheme == "smtps" else {"tls_context": context, "require_starttls": True}
    with mailing(scheme, user="user:secret@") as port, server(box, port, password="secret", **how):
        yield


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_mail_goes_out_over_tls(scheme: str, certificate: Path) -> None:
    box = Box()
    with environment({"SSL_CERT_FILE": str(certificate)}), mailing_by_tls(scheme, box, certificate), sending():
        tell_payment(reader(), paid="€5")
        eventually(lambda: one("select status from deliveries") == ("delivered",))
    assert box.got[0]["subject"] == "Payment received"


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_a_mail_server_that_nobody_vouches_for_gets_no_password(scheme: str, certificate: Path) -> None:
    box = Box()
    with mailing_by_tls(scheme, box, certificate), sending():
        tell_payment(reader(), paid="€5")
        eventually(lambda: one("select attempts from deliveries")[0] >= 1)
        assert "CERTIFICATE_VERIFY_FAILED" in one("select log from deliveries")[0][0]["error"]
    assert box.tries == 0


class Gate(Box):
    """Refuses recipients, as often as it is told, before it hears what is to be said to them."""

    async def handle_RCPT(  # noqa: N802 - its name in aiosmtpd
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if self.refusals:
            self.tries += 1
            return self.refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 known"


def test_a_recipient_who_is_refused_for_now_is_written_to_again_and_one_refused_for_good_is_not() -> None:
    box = Gate("450 later")
    with mailing() as port, server(box, port), sending():
        tell(reader(), kind="subscription.expired")
        eventually(lambda: one("select status from deliveries") == ("delivered",))
        assert (box.tries, len(box.got)) == (2, 1)
        box.refusals = ["550 nobody", "550 nobody"]
        tell(reader("bob@example.com"), kind="subscription.expired")
        eventually(lambda: rows("select 1 from deliveries where status = 'failed'") == [(1,)])
    assert box.refusals == ["550 nobody"], "asked again"
