"""Mail of events through the operator's SMTP server, as text and HTML. No database here."""

import os
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from email.message import EmailMessage
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from common.guard import AddressRefused, resolved
from common.settings import settings
from models.events.notifications import texts
from models.events.sending import Parcel

TEMPLATES = Path(__file__).parent / "templates"
PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
MAX_SUBJECT = 200
MAX_PROBLEM = 500
READY = 220  # a server's greeting
MAX_ADDRESSES = 4  # of the server that are tried
CONNECT_SECONDS = 5.0  # for one of them


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),  # what users write cannot become markup
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def message(parcel: Parcel) -> EmailMessage:
    """The mail of a delivery. Its Message-ID is the delivery's, so that a repeat can be told."""
    title, body = texts(parcel.event_type, parcel.data)
    values: Mapping[str, Any] = {"title": title, "body": body, "url": settings().public_url}
    made = EmailMessage()
    made["Subject"] = " ".join(title.split())[:MAX_SUBJECT]  # no line breaks: a header ends at one
    made["From"] = settings().mail_from
    made["To"] = " ".join((parcel.address or "").split())
    made["Date"] = parcel.event_at
    made["Message-ID"] = f"<{parcel.id}@{urlsplit(settings().public_url).hostname or 'headrace'}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(_environment().get_template("notice.txt").render(values))
    made.add_alternative(_environment().get_template("notice.html").render(values), subtype="html")
    return made


def send(parcel: Parcel) -> tuple[str | None, bool]:
    """Hand one mail to the server, within WEBHOOK_TIMEOUT_SECONDS in all. Returns what went wrong, None for nothing, and
    whether it is of no use to try again.
    """
    if not settings().smtp_url:
        return "SMTP_URL is not set", False
    if not (parcel.address or "").strip():
        return "the account has no mail address", True
    try:
        made = message(parcel)
    except Exception as error:  # noqa: BLE001 - the parser of addresses raises what it likes
        return f"the mail cannot be written: {type(error).__name__}: {error}"[:MAX_PROBLEM], True
    end = time.monotonic() + settings().webhook_timeout_seconds
    connection: _Connection | None = None
    try:
        connection = _connect(end)
        connection.send_message(made)
    except Exception as error:  # noqa: BLE001 - whatever is wrong, it was one attempt
        if time.monotonic() >= end:
            return f"too_slow: it took more than {settings().webhook_timeout_seconds:g} seconds", False
        problem, permanent = _judged(error)
        return problem[:MAX_PROBLEM], permanent
    finally:
        if connection is not None:
            connection.leave()
    return None, False


def _judged(error: Exception) -> tuple[str, bool]:
    """What an error says, and whether it will be the same next time."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        return f"the recipient was refused: {codes}", all(code >= 500 for code in codes)
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        # A login that is refused is the operator's to mend; a message that is refused stays refused.
        return f"{error.smtp_code} {text}", isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500
    if isinstance(error, AddressRefused):
        return f"{error.code}: {error.message}", False
    return f"{type(error).__name__}: {error}", False


class _Connection(smtplib.SMTP):
    """A conversation with a mail server that is over at a time, however slowly it answers: the library's own time-outs
    begin anew with each byte that comes.
    """

    def __init__(self, host: str, port: int, end: float, *, tls: bool) -> None:
        self._end, self._tls = end, tls
        self._handle: socket.socket | None = None
        self._cutter: threading.Timer | None = None
        super().__init__(timeout=_left(end))
        self._host = host  # whose certificate STARTTLS looks for
        try:
            code, text = self.connect(host, port)
            if code != READY:
                raise smtplib.SMTPConnectError(code, text)  # noqa: TRY301 - whatever fails here, the socket is closed
        except BaseException:
            self.leave()
            raise

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:  # noqa: ARG002 - nobody gives one
        """Connect to the first address that answers, and read the greeting."""
        plain = _connected(host, port, self._end)
        # A second handle on the connection: it stays good when TLS takes the first one over.
        self._handle = socket.socket(fileno=os.dup(plain.fileno()))
        self._cutter = threading.Timer(_left(self._end), self._cut)
        self._cutter.daemon = True
        self._cutter.start()
        self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if self._tls else plain
        self.file = None
        return self.getreply()

    def _cut(self) -> None:
        if self._handle is not None:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        """Say goodbye and go, without waiting for an answer: a mail that was taken is sent whatever comes now."""
        with suppress(OSError, ValueError, smtplib.SMTPException):
            self.putcmd("quit")
        with suppress(OSError):
            self.close()
        if self._cutter is not None:
            self._cutter.cancel()
        if self._handle is not None:
            self._handle.close()


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("there is no time left")
    return left


def _connected(host: str, port: int, end: float) -> socket.socket:
    problem: OSError = ConnectionError(f"there is no host {host}")
    for address in resolved(host, port, _left(end))[:MAX_ADDRESSES]:
        try:
            return socket.create_connection((address, port), timeout=min(CONNECT_SECONDS, _left(end)))
        except OSError as error:
            problem = error
    raise problem


def _connect(end: float) -> _Connection:
    """A conversation in which mail may be handed over."""
    given = settings().smtp_url
    assert given is not None  # noqa: S101 - `send` has looked
    url = urlsplit(given.get_secret_value())
    if url.scheme not in PORTS or not url.hostname:
        raise smtplib.SMTPException("SMTP_URL must be smtp://, smtp+starttls:// or smtps://host")
    connection = _Connection(url.hostname, url.port or PORTS[url.scheme], end, tls=url.scheme == "smtps")
    try:
        if url.scheme == "smtp+starttls":
            connection.starttls(context=ssl.create_default_context())
        if url.username:
            connection.login(unquote(url.username), unquote(url.password or ""))
    except BaseException:
        connection.leave()
        raise
    return connection
