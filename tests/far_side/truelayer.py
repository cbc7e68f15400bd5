"""The far side of TrueLayer: payments into a merchant account. Its own package signs the hooks."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from truelayer_signing import HttpMethod, sign_with_pem, verify_with_pem

from tests.far_side.companies import Asked, CompanyServer, Posted, Said, iso


def _error(kind: str, title: str, status: int) -> dict[str, Any]:
    place = f"https://docs.truelayer.com/docs/error-types#{kind}"
    return {"type": place, "title": title, "status": status, "trace_id": "t", "detail": title.lower()}


def _key() -> tuple[str, str, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP521R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return private, public, key


class TrueLayerServer(CompanyServer):
    """Payments into a merchant account. It checks our signatures, and signs its hooks with a key of its own."""

    kid = "their-key"

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        super().__init__(now)
        self.payments: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.by_key: dict[str, Said] = {}
        self.our_private, self.our_public, _ = _key()  # the client's, as it was uploaded there
        self.private, _, self._key = _key()
        self.refunds_end = "executed"

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/.well-known/jwks"

    def answer(self, asked: Asked) -> Said:
        if asked.path == "/.well-known/jwks":
            return Said(200, {"keys": [self._jwk()]})
        if asked.path == "/connect/token":
            good = asked.json().get("client_secret") == "the-secret"
            return (
                Said(200, {"access_token": "token-1", "expires_in": 3600})
                if good
                else Said(400, {"error": "invalid_client"})
            )
        if asked.headers.get("authorization") != "Bearer token-1":
            return Said(401, _error("unauthenticated", "Unauthenticated", 401))
        if asked.method == "POST":
            key = asked.headers["idempotency-key"]
            verify_with_pem(self.our_public).set_method(HttpMethod.POST).set_path(asked.path).add_headers(
                dict(asked.headers)
            ).add_required_headers(["Idempotency-Key"]).set_body(asked.body.decode()).verify(
                asked.headers["tl-signature"]
            )
            if key not in self.by_key:
                self.by_key[key] = self._make(asked)
            return self.by_key[key]
        parts = asked.path.strip("/").split("/")
        found = self.payments.get(parts[2])
        if found is None:
            return Said(404, _error("not-found", "Not Found", 404))
        if parts[-1] == "refunds":
            return Said(200, {"items": [each for each in self.refunds.values() if each["payment_id"] == parts[2]]})
        return Said(200, found)

    def _make(self, asked: Asked) -> Said:
        given, parts = asked.json(), asked.path.strip("/").split("/")
        name = str(uuid4())
        if parts[-1] == "refunds":
            self.refunds[name] = {
                "id": name, "payment_id": parts[2], "amount_in_minor": given["amount_in_minor"], "status": self.refunds_end,
                "created_at": iso(self.now()),
            }  # fmt: skip
            return Said(201, {"id": name})
        if given["currency"] not in {"GBP", "EUR"}:
            return Said(400, _error("invalid-parameters", "Invalid Parameters", 400))
        self.payments[name] = {
            "id": name, "status": "authorization_required", "amount_in_minor": given["amount_in_minor"], "currency": given["currency"],
            "metadata": given["metadata"], "created_at": iso(self.now()), "user": {"id": "u"},
        }  # fmt: skip
        return Said(201, {"id": name, "resource_token": "resource.token", "user": {"id": "u"}})

    def _jwk(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        x, y = (
            base64.urlsafe_b64encode(each.to_bytes(66, "big")).rstrip(b"=").decode() for each in (numbers.x, numbers.y)
        )
        return {"kty": "EC", "alg": "EC", "crv": "P-521", "kid": self.kid, "x": x, "y": y}

    def become(self, payment_id: str, status: str) -> Posted:
        """A payment goes on: executed, settled, failed. Returns the hook, which has no amount in it."""
        with self.lock:
            self.payments[payment_id]["status"] = status
            if status == "settled":
                self.payments[payment_id]["settled_at"] = iso(self.now())
        return self.hook({"type": f"payment_{status}", "payment_id": payment_id, f"{status}_at": iso(self.now())})

    def give_back(self, payment_id: str, amount: int, status: str = "executed") -> Posted:
        with self.lock:
            name = str(uuid4())
            self.refunds[name] = {
                "id": name,
                "payment_id": payment_id,
                "amount_in_minor": amount,
                "status": status,
                "created_at": iso(self.now()),
            }
        return self.hook({"type": f"refund_{status}", "payment_id": payment_id, "refund_id": name})

    def hook(
        self, event: Mapping[str, Any], *, path: str = "/hooks/truelayer", at: str | None = None, jku: str | None = None
    ) -> Posted:
        body = json.dumps({"event_version": 1, "event_id": str(uuid4()), **event})
        return self.signed(body, path=path, at=at, jku=jku)

    def signed(
        self, body: str, *, path: str = "/hooks/truelayer", at: str | None = None, jku: str | None = None
    ) -> Posted:
        """A hook as it is sent now, the first time or again."""
        stamp = at or iso(time.time())
        signature = (
            sign_with_pem(self.kid, self.private).set_method(HttpMethod.POST).set_path(path).set_jku(jku or self.jwks_url)
            .add_header("X-Tl-Webhook-Timestamp", stamp).set_body(body).sign()
        )  # fmt: skip
        headers = {"tl-signature": signature, "x-tl-webhook-timestamp": stamp, "content-type": "application/json"}
        return Posted(path, headers, body.encode())
