"""A real OIDC issuer on loopback: publishes keys, rotates them, signs tokens, and can be away, slow or wrong."""

import base64
import json
import threading
import time
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm


@cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Keys are made once per run: making one costs a tenth of a second."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def public_jwk(kid: str, key: Any, **extra: Any) -> dict[str, Any]:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", **extra}


class Issuer:
    """`published` is what its JWKS holds; `calls` are the paths asked for."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.signers: dict[str, Any] = {"one": rsa_key(1), "curve": ec_key(1)}
        self.published = {kid: public_jwk(kid, key) for kid, key in self.signers.items()}
        self.calls: list[str] = []
        self.status = 200
        self.body: bytes | None = None  # instead of the keys
        self.delay = 0.0
        self.discovery: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def rotate(self, old: str, new: str, key: Any) -> None:
        """Withdraw one key and publish another."""
        self.published.pop(old, None)
        self.signers[new] = key
        self.published[new] = public_jwk(new, key)

    def claims(self, subject: str = "user_1", **changes: Any) -> dict[str, Any]:
        """A session token's claims, like Clerk's. A change to None leaves a claim out."""
        now = int(time.time())
        plain = {
            "iss": self.url,
            "sub": subject,
            "iat": now,
            "nbf": now - 10,
            "exp": now + 60,
            "azp": "https://app.test",
        }
        return {name: value for name, value in {**plain, **changes}.items() if value is not None}

    def token(
        self, subject: str = "user_1", *, kid: str = "one", head: dict[str, Any] | None = None, **changes: Any
    ) -> str:
        key = self.signers[kid]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(self.claims(subject, **changes), key, algorithm, {"kid": kid, **(head or {})})

    def by_hand(self, head: dict[str, Any], signature: bytes, **changes: Any) -> str:
        """A token that no library would make."""
        return f"{self.signing_input(head, **changes)}.{b64(signature)}"

    def signing_input(self, head: dict[str, Any], **changes: Any) -> str:
        return f"{b64(json.dumps(head).encode())}.{b64(json.dumps(self.claims(**changes)).encode())}"


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, issuer: Issuer, *args: Any) -> None:
        self.issuer = issuer
        super().__init__(*args)

    def do_GET(self) -> None:
        issuer = self.issuer
        issuer.calls.append(self.path)
        if self.path == "/.well-known/openid-configuration":
            found = issuer.discovery is not None
            self._answer(200 if found else 404, json.dumps(issuer.discovery or {}).encode())
        elif self.path in {"/.well-known/jwks.json", "/keys"}:
            time.sleep(issuer.delay)
            body = (
                issuer.body
                if issuer.body is not None
                else json.dumps({"keys": list(issuer.published.values())}).encode()
            )
            self._answer(issuer.status, body)
        else:
            self._answer(404, b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status == 302:
            self.send_header("location", f"{self.issuer.url}/keys")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
