"""Mail of events through the operator's SMTP server, as text and HTML. No database here."""

import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from models.lines import Parcel
from models.notifications import texts
from models.settings import settings

TEMPLATES = Path(__file__).parent / "templates"
PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
MAX_SUBJECT = 200


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
    """Hand one mail to the server. Returns what went wrong, None for nothing, and whether it is of no use to try again."""
    if not settings().smtp_url:
        return "SMTP_URL is not set", False
    if not parcel.address:
        return "the account has no mail address", True
    try:
        made = message(parcel)
    except (ValueError, KeyError) as error:
        return f"the mail cannot be written: {error}", True
    try:
        with _connect() as server:
            server.send_message(made)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        return f"the recipient was refused: {codes}", all(code >= 500 for code in codes)
    except smtplib.SMTPResponseException as error:
        text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        # A login that is refused is the operator's to mend; a message that is refused stays refused.
        return f"{error.smtp_code} {text}"[:500], isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500
    except (smtplib.SMTPException, OSError) as error:
        return f"{type(error).__name__}: {error}"[:500], False
    return None, False


def _connect() -> smtplib.SMTP:
    given = settings().smtp_url
    assert given is not None  # noqa: S101 - `send` has looked
    url = urlsplit(given.get_secret_value())
    if url.scheme not in PORTS or not url.hostname:
        raise smtplib.SMTPException("SMTP_URL must be smtp://, smtp+starttls:// or smtps://host")
    port, seconds = url.port or PORTS[url.scheme], settings().webhook_timeout_seconds / 3  # for each of its answers
    if url.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            url.hostname, port, timeout=seconds, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(url.hostname, port, timeout=seconds)
    try:
        if url.scheme == "smtp+starttls":
            server.starttls(context=ssl.create_default_context())
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
    except BaseException:
        server.close()
        raise
    return server
