"""A far side: who Clerk is to a product, on this machine. It publishes its keys, gives people tokens, and tells of them."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from examples.far_sides import place_of, serve
from examples.noting import NOTES


class Clerk:
    """An issuer at an address of this machine, for as long as the stack is open."""

    def __init__(self, url: str, webhook_secret: str, stack: ExitStack) -> None:
        self._url, self._secret = url, base64.b64decode(webhook_secret.removeprefix("whsec_"))
        self._key, self._kid = rsa.generate_private_key(65537, 2048), uuid.uuid4().hex
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        jwks = json.dumps({"keys": [{**public, "kid": self._kid, "use": "sig", "alg": "RS256"}]}).encode()
        serve(ThreadingHTTPServer(place_of(url, 80), partial(_Published, jwks)), stack)

    def token(self, user_id: str, **changes: Any) -> str:
        """A session token, as Clerk's browser library sends it."""
        now = int(time.time())
        claims = {"iss": self._url, "sub": user_id, "iat": now, "exp": now + 600, **changes}
        return jwt.encode(claims, self._key, "RS256", {"kid": self._kid})

    def tell(self, client: httpx.Client, kind: str, data: dict[str, Any], *, forged: bool = False) -> int:
        """Send a signed event to the system's hook. Returns how it was answered."""
        NOTES.call("POST /hooks/clerk, by Clerk")
        body = json.dumps({"object": "event", "type": kind, "data": data})
        event_id, at = f"msg_{uuid.uuid4().hex}", str(int(time.time()))
        secret = b"of somebody else" if forged else self._secret
        signed = hmac.digest(secret, f"{event_id}.{at}.{body}".encode(), hashlib.sha256)
        headers = {
            "svix-id": event_id, "svix-timestamp": at, "svix-signature": "v1," + base64.b64encode(signed).decode(),
        }  # fmt: skip
        return client.post("/hooks/clerk", content=body, headers=headers).status_code


class _Published(BaseHTTPRequestHandler):
    """The issuer's keys, where Clerk has them."""

    def __init__(self, jwks: bytes, *given: Any) -> None:
        self._jwks = jwks
        super().__init__(*given)

    def do_GET(self) -> None:
        is_there = self.path == "/.well-known/jwks.json"
        self.send_response(200 if is_there else 404)
        self.end_headers()
        self.wfile.write(self._jwks if is_there else b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing."""
