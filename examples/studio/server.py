"""The studio's own server: it knows who has signed in, asks for their tokens, and does for them what a page's token may not do.

The API serves it under /studio/ (STUDIO_APP names `make_studio`), so that page and API have one origin. It is a product's program, not
a part of the API: it speaks to the API over HTTP, with a service key that no browser sees.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import time
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

BUILT = Path(__file__).with_name("dist")
COOKIE = "studio"
SIGNED_IN_SECONDS = 12 * 3600
TOKEN_SECONDS, TOKEN_CREDITS = 900, 1000
ADDRESS = re.compile(r"[^@\s:,]{1,64}@[^@\s:,]{1,180}\.[^@\s:,.]{1,63}")
TIMEOUT_SECONDS = 30.0

# Scripts and styles are the studio's own files; pictures and films are the API's, which has the same origin.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# What the page asks of the API through this server. What is not here a page cannot do, whatever the key may.
_ID, _KIND = "[0-9a-f-]{36}", "(?:images|videos|sounds)"
PASSED_ON = tuple(
    (frozenset(methods.split()), re.compile(path))
    for methods, path in (
        ("POST", f"/v1/jobs/{_ID}/retry"),
        ("GET", f"/v1/{_KIND}"),
        ("GET", f"/v1/search/{_KIND}"),
        ("PUT DELETE", f"/v1/{_KIND}/{_ID}/like"),
        ("GET POST", "/v1/collections"),
        ("GET DELETE", f"/v1/collections/{_ID}"),
        ("GET POST", f"/v1/collections/{_ID}/items"),
        ("POST", f"/v1/collections/{_ID}/items/remove"),
        ("POST", f"/v1/collections/{_ID}/links"),
        ("GET", "/v1/packs"),
        ("POST", "/v1/payments"),
    )
)


class StudioRefusal(Exception):
    """What the page is told instead, in the API's own shape."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code = status, code


class Sessions:
    """Who has signed in, in a cookie that this server signs: it keeps no list."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(b"studio sessions " + secret.encode()).digest()

    def seal(self, email: str, *, until: float) -> str:
        """The cookie of somebody, good until a time."""
        body = base64.urlsafe_b64encode(f"{int(until)} {email}".encode()).decode().rstrip("=")
        return f"{body}.{self._mac(body)}"

    def open(self, cookie: str, *, now: float) -> str | None:
        """Whose cookie it is. None: nobody's, or not any more."""
        body, _, mac = cookie.partition(".")
        if not hmac.compare_digest(mac.encode(), self._mac(body).encode()):
            return None
        until, _, email = base64.urlsafe_b64decode(body + "==").decode().partition(" ")
        return email if int(until) > now else None

    def _mac(self, body: str) -> str:
        return hmac.digest(self._key, body.encode(), "sha256").hex()


class Pages(StaticFiles):
    """The built page. An address without a file's ending is one of the page's own; names with a hash in them never change."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file, or the page."""
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or "." in path.rpartition("/")[2] or path.startswith("api/"):
                raise
            path, response = "index.html", await super().get_response("index.html", scope)
        is_named_by_content = path.startswith("assets/")
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if is_named_by_content else "no-cache"
        response.headers["content-security-policy"] = POLICY
        return response


class Studio:
    """The server's few answers."""

    def __init__(self, api_url: str, key: str) -> None:
        self._sessions = Sessions(key)
        self._url, self._key = api_url, key
        self._client: httpx.AsyncClient | None = None

    async def sign_in(self, request: Request) -> Response:
        """Who says an address is let in, and has an account from then on. A real product would send a code to it."""
        email = _address_in(await request.body())
        if not ADDRESS.fullmatch(email):
            raise StudioRefusal(422, "invalid_address", "That is no e-mail address.")
        answer = await self._ask("GET", "/v1/me", email, {"headrace-create": "true"})
        if answer.is_error:
            return _passed_back(answer)
        response = JSONResponse({"email": email})
        sealed = self._sessions.seal(email, until=time.time() + SIGNED_IN_SECONDS)
        response.set_cookie(
            COOKIE, sealed, max_age=SIGNED_IN_SECONDS, path="/studio", httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return response

    async def sign_out(self, _: Request) -> Response:
        """The cookie goes. A token that a page still has ends by itself, in minutes."""
        response = JSONResponse({"email": None})
        response.delete_cookie(COOKIE, path="/studio")
        return response

    async def show(self, request: Request) -> Response:
        """Who has signed in, or null."""
        return JSONResponse({"email": self._who(request)}, headers={"cache-control": "no-store"})

    async def give_token(self, request: Request) -> Response:
        """A token for the page: it reads, follows and orders for this person, and nothing else."""
        wanted = {"may": ["read", "stream", "generate"], "credits": TOKEN_CREDITS, "seconds": TOKEN_SECONDS}
        return _passed_back(await self._ask("POST", "/v1/tokens", self._signed_in(request), json=wanted))

    async def pass_on(self, request: Request) -> Response:
        """Ask the API for this person what the page asks."""
        email, path = self._signed_in(request), "/v1/" + request.path_params["path"]
        if not any(request.method in methods and form.fullmatch(path) for methods, form in PASSED_ON):
            raise StudioRefusal(404, "not_found", "The studio's server does not pass this on.")
        names = ("content-type", "idempotency-key", "accept")
        headers = {name: request.headers[name] for name in names if name in request.headers}
        answer = await self._ask(
            request.method,
            path,
            email,
            headers,
            content=await request.body(),
            params=list(request.query_params.multi_items()),
        )
        return _passed_back(answer)

    def _who(self, request: Request) -> str | None:
        return self._sessions.open(request.cookies.get(COOKIE, ""), now=time.time())

    def _signed_in(self, request: Request) -> str:
        email = self._who(request)
        if email is None:
            raise StudioRefusal(401, "not_signed_in", "Sign in first.")
        return email

    async def _ask(
        self, method: str, path: str, email: str, headers: Mapping[str, str] | None = None, **sent: Any
    ) -> httpx.Response:
        if self._client is None:  # made in the loop that uses it
            # One client for all people: what it is told to remember of one, it must not send with another.
            nothing_kept = CookieJar(DefaultCookiePolicy(allowed_domains=()))
            self._client = httpx.AsyncClient(
                base_url=self._url, timeout=TIMEOUT_SECONDS, trust_env=False, cookies=nothing_kept
            )
        named = {"authorization": f"Bearer {self._key}", "headrace-account": f"email:{email}"}
        try:
            return await self._client.request(method, path, headers={**(headers or {}), **named}, **sent)
        except httpx.HTTPError:
            raise StudioRefusal(503, "unavailable", "The studio cannot reach its API. Try again in a moment.") from None


def _address_in(body: bytes) -> str:
    """The address that a body names, as it is kept; nothing where it names none."""
    try:
        given = json.loads(body)
    except ValueError:
        return ""
    email = given.get("email") if isinstance(given, dict) else None
    return email.strip().lower() if isinstance(email, str) else ""


def _passed_back(answer: httpx.Response) -> Response:
    """The API's answer as the page gets it: nothing of it is kept by anybody."""
    kept = {name: answer.headers[name] for name in ("content-type", "retry-after") if name in answer.headers}
    return Response(answer.content, answer.status_code, {**kept, "cache-control": "no-store"})


async def _tell(_: Request, error: Exception) -> Response:
    assert isinstance(error, StudioRefusal)  # noqa: S101 - it is registered for this class alone
    body = {
        "type": "about:blank", "title": error.code, "status": error.status, "code": error.code, "detail": str(error),
        "param": None, "retryable": error.status == 503, "request_id": None,
    }  # fmt: skip
    return JSONResponse(body, error.status, {"cache-control": "no-store"}, media_type="application/problem+json")


class OwnPagesOnly:
    """Refuses what another site's page sends with the visitor's cookie. Browsers say where a request comes from."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        sites = [value for name, value in scope.get("headers", ()) if name == b"sec-fetch-site"]
        if scope["type"] == "http" and scope["method"] != "GET" and sites not in ([], [b"same-origin"]):
            refusal = StudioRefusal(403, "other_site", "This was sent by another site's page.")
            await (await _tell(Request(scope), refusal))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def make_studio(environment: Mapping[str, str] = os.environ, folder: Path = BUILT) -> Starlette:
    """The studio as an ASGI application. Raises RuntimeError in production: whoever says an address is let in."""
    if environment.get("ENVIRONMENT") == "production":
        raise RuntimeError("the studio lets everybody in by their address: it is an example, not for production")
    studio = Studio(environment["STUDIO_API"], environment["STUDIO_KEY"])
    calls = [
        Route("/session", studio.show, methods=["GET"]),
        Route("/session", studio.sign_in, methods=["POST"]),
        Route("/session", studio.sign_out, methods=["DELETE"]),
        Route("/token", studio.give_token, methods=["POST"]),
        Route("/v1/{path:path}", studio.pass_on, methods=["GET", "POST", "PUT", "DELETE"]),
    ]
    api = Starlette(routes=calls, exception_handlers={StudioRefusal: _tell})
    pages = GZipMiddleware(Pages(directory=folder, html=True, check_dir=False), minimum_size=1000)
    return Starlette(routes=[Mount("/api", OwnPagesOnly(api)), Mount("/", pages)])
