"""What every request meets first: an id, limits on its size, and headers for browsers. Pure ASGI: a few microseconds."""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import orjson
import uuid_utils
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.edge import texts
from api.edge.door import CROWDED, DOOR, Door
from api.edge.pace import KNOWN, PACE, Pace
from api.edge.problems import MEDIA_TYPE, of_domain, problem
from common import logs
from common.errors import BodyTooLarge
from common.settings import settings
from common.telemetry import figures

MAX_URL_BYTES = 8192
MAX_HEADER_BYTES = 32_768  # of all headers together
FORM_BYTES = 65_536  # a form's own edges and its other fields
RETRY_SECONDS = 5

DOCS_PATHS = ("/docs", "/redoc")

# Redoc looks for words in a worker that it makes of its own text (blob:), and fills style elements that were empty when
# they were added: they are allowed by the hash of nothing. Pictures in styles are data.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Headers = tuple[tuple[bytes, bytes], ...]
_ALWAYS: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_NO_SCRIPT: Headers = ((b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),)
_NOT_KEPT: Headers = ((b"cache-control", b"no-store"),)
_HTTPS: Headers = ((b"strict-transport-security", b"max-age=31536000"),)
_PAGE: Headers = ((b"content-security-policy", DOCS_POLICY.encode()),)


def security_headers(path: str, *, https: bool) -> Headers:
    """What a browser is told with every answer: run nothing but the documentation's own scripts, show it in no frame, keep no answer of the API."""
    found = _ALWAYS + (_PAGE if path in DOCS_PATHS else _NO_SCRIPT)
    if path.startswith(("/v1/", "/api/", "/files/", "/compat/")):  # a file's own bytes may be kept, and say so
        found += _NOT_KEPT
    return found + _HTTPS if https else found


def written_refusal(status: int, code: str, detail: str, *, retry_after: int | None = None) -> bytes:
    """An answer as bytes, for what never becomes a request. The same shape as every other problem, and the last on its
    connection."""
    figures.REFUSED.add(code)
    phrase = HTTPStatus(status).phrase
    body = orjson.dumps(
        {
            "type": f"urn:headrace:problem:{code}", "title": phrase, "status": status, "detail": detail, "code": code,
            "param": None, "retryable": retry_after is not None, "request_id": None,
        }
    )  # fmt: skip
    headers: Headers = (
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *(((b"retry-after", str(retry_after).encode()),) if retry_after is not None else ()),
        *security_headers("/v1/", https=settings().public_url.startswith("https:")),
    )
    lines = [f"HTTP/1.1 {status} {phrase}".encode(), *(name + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Limits:
    """Gives each request an `x-request-id`, and refuses bodies and URLs that are too large before they are read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._public_url = settings().public_url.rstrip("/")
        self._https = self._public_url.startswith("https:")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope.setdefault("request_id", "") or str(uuid_utils.uuid7())
        scope["request_id"] = request_id
        logs.about.set({"request": request_id})  # each request is served in a context of its own
        id_header = (b"x-request-id", request_id.encode())

        fixed = (id_header, *security_headers(scope["path"], https=self._https))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [_public(each, self._public_url) for each in message["headers"]]
                said = {name for name, _ in given}
                more = (each for each in fixed if each[0] not in said)
                message["headers"] = [*given, *scope.get("rate_headers", ()), *more]
            await send(message)

        refusal = _refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_id)
            return
        body = _Body(scope, receive)
        reading = body.checked if _may_be_json(scope) else body.limited
        door: Door | None = scope.get(DOOR)
        # Through a proxy of ours: its connections are not counted by address, so its requests are.
        host = scope["client"][0] if scope["client"] else "unknown"
        if door is not None and not door.asks(host):
            crowded = {"retry_after": RETRY_SECONDS}
            refusal = problem(Request(scope), 429, "too_many_connections", CROWDED, retryable=True, extra=crowded)
            await refusal(scope, receive, send_with_id)
            return
        try:
            await self._app(scope, reading, send_with_id)
        finally:
            if door is not None:
                door.note_answer(host)
            pace: Pace | None = scope.get(PACE)
            if pace is not None and not scope.get(KNOWN):
                pace.forget(scope)


def _public(header: tuple[bytes, bytes], public_url: str) -> tuple[bytes, bytes]:
    """A header as it may leave. The framework makes whole addresses, such as that without a slash at its end, out of the
    Host that somebody sent, or of where we listen. Nothing of ours leads elsewhere, so they lead to PUBLIC_URL.
    """
    name, value = header
    if name.lower() != b"location" or (value.startswith(b"/") and not value.startswith(b"//")):
        return header
    try:
        parts = urlsplit(value.decode("latin-1"))
        place = parts._replace(scheme="", netloc="", path="/" + parts.path.lstrip("/")).geturl()
    except ValueError:
        place = "/"
    return name, (public_url + place).encode("latin-1")


class _Body:
    """A request's body on its way to whoever reads it. What it raises there, the app answers like any other refusal."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._limit = _limit(scope)
        self._read = 0

    async def limited(self) -> Message:
        """The next part. Raises BodyTooLarge."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self._limit:
                raise _too_large(self._read, self._limit)
        return message

    async def checked(self) -> Message:
        """All of a body that may be JSON, since half of it says nothing about the rest. Raises InvalidInput besides."""
        parts: list[bytes] = []
        while True:
            message = await self.limited()
            if message["type"] != "http.request":
                return message
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        whole = b"".join(parts)
        texts.check_json(whole)
        return {"type": "http.request", "body": whole, "more_body": False}


def _refusal(scope: Scope) -> Any:
    request = Request(scope)
    if len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") > MAX_URL_BYTES:
        return problem(request, 414, "url_too_long", f"the address is longer than {MAX_URL_BYTES} bytes")
    limit = _limit(scope)
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    if size > MAX_HEADER_BYTES:
        return problem(
            request, 431, "headers_too_large", f"the headers have {size} bytes; the limit is {MAX_HEADER_BYTES}"
        )
    if (param := texts.bad_header(scope["headers"])) is not None:
        return problem(request, 422, "invalid_request", f"the header {param} has a NUL", param=param)
    if (param := texts.bad_address(scope["path"], scope.get("raw_path"), scope["query_string"])) is not None:
        return problem(request, 422, "invalid_request", f"{param} has a NUL, or is no UTF-8", param=param)
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and (len(value) > 18 or int(value) > limit):
            return of_domain(request, _too_large(int(value[:18]), limit))
    return None


def _may_be_json(scope: Scope) -> bool:
    """All bodies but files and batches, which go to disk as they come, and what others call us with, which is kept as it came.
    Whoever reads a batch checks it line by line.
    """
    return not _is_file(scope) and not _is_batch(scope) and not scope["path"].startswith("/hooks/")


def _limit(scope: Scope) -> int:
    """A form with files, or a batch, goes to disk as it comes, and may be larger than what is read into memory."""
    if _is_batch(scope):
        return settings().max_batch_bytes
    return settings().max_upload_bytes + FORM_BYTES if _is_file(scope) else settings().max_body_bytes


# Whose forms go to disk as they come. A dialect that takes files adds its paths here.
FILE_PATHS = (
    "/v1/files", "/account/try/upload", "/compat/replicate/v1/files", "/compat/openai/v1/files",
    "/compat/openai/v1/images/edits", "/compat/openai/v1/videos",
)  # fmt: skip


def _is_batch(scope: Scope) -> bool:
    return scope["method"] == "POST" and bool(scope["path"].rstrip("/") == "/v1/batches")


def _is_file(scope: Scope) -> bool:
    if scope["path"].rstrip("/") not in FILE_PATHS or scope["method"] != "POST":
        return False
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    return bool(kind[:19].lower() == b"multipart/form-data")


def _too_large(size: int, limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body has {size} bytes or more; the limit is {limit}", param="body", limit=limit, size=size
    )
