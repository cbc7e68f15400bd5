"""fal's queue as the tests need it: requests are queued, asked for, canceled, and called back with a signature.

Script of a model (owner/app/path): `ready_seconds`, `queued_seconds` (of these), `queue_position`, `logs` (lines),
`result` (any JSON; without it one picture's address), `status` with `detail`, `error_type` (it fails so), `metrics`,
`told` (false: the status does not say that it failed).
"""

import hashlib
import json
import time
from base64 import urlsafe_b64encode
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.far_side.queue_server import Answer, Ask, FarSide, as_json, main


class FalFarSide(FarSide):
    signing_key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"fal's far side").digest())  # in every process

    def key_of(self, ask: Ask) -> str:
        if ask.method == "POST":  # fal knows no keys: our input's own `key` is one for the tests
            body = json.loads(ask.raw or b"{}")
            return str(body.get("key") or hashlib.sha256(ask.raw).hexdigest())
        return ask.path

    def answer(self, ask: Ask) -> Answer:
        match [ask.method, *ask.path.strip("/").split("/")]:
            case ["GET", ".well-known", "jwks.json"]:
                return as_json(jwks(self.signing_key))
            case ["GET", "files", name]:
                return self.picture(ask, name)
        if not ask.headers.get("authorization", "").startswith("Key "):
            return as_json({"detail": "Cannot access application. Authentication is required."}, 401)
        match [ask.method, *ask.path.strip("/").split("/")]:
            case ["POST", *model]:
                return self._submit(ask, "/".join(model))
            case ["GET", *_, "requests", found, "status"]:
                return self._status(found)
            case ["GET", *_, "requests", found]:
                return self._result(found)
            case ["PUT", *_, "requests", found, "cancel"]:
                return self._cancel(found)
        return as_json({"detail": "Not Found"}, 404)

    def _submit(self, ask: Ask, model: str) -> Answer:
        found, wanted = str(uuid4()), self.scripted(model)
        facts = {"model": model, "input": json.loads(ask.raw), "webhook": ask.query.get("fal_webhook")}
        self.book.begin(found, ask.key, facts, self.late(ask))
        if facts["webhook"]:
            self.call_back(ask, found, facts["webhook"], wanted.get("ready_seconds", 0))
        place = f"{self.url}/{'/'.join(model.split('/')[:2])}/requests/{found}"
        return as_json({
            "status": "IN_QUEUE", "request_id": found, "queue_position": 0, "response_url": place,
            "status_url": f"{place}/status", "cancel_url": f"{place}/cancel",
        })  # fmt: skip

    def _status(self, found: str) -> Answer:
        generation = self.book.generation(found)
        if generation is None:
            return as_json({"detail": "Request not found"}, 404)
        wanted = self.scripted(generation["facts"]["model"])
        status: dict[str, Any] = {"status": self._state(generation), "request_id": found}
        if status["status"] == "IN_QUEUE":
            status["queue_position"] = wanted.get("queue_position", 0)
        else:
            status["logs"] = [{"message": each, "level": "INFO"} for each in wanted.get("logs", [])]
        if status["status"] == "COMPLETED":
            status["metrics"] = wanted.get("metrics", {"inference_time": 1.5})
            if wanted.get("told", True) and self._failed(generation):
                status["error"] = "the request failed"
        return as_json(status, 200 if status["status"] == "COMPLETED" else 202)

    def _result(self, found: str) -> Answer:
        generation = self.book.generation(found)
        if generation is None:
            return as_json({"detail": "Request not found"}, 404)
        if self._state(generation) != "COMPLETED":
            return as_json({"detail": "Request is still in progress"}, 400)
        status, body = self._ended(generation)
        named = {"x_fal_error_type": body["error_type"]} if isinstance(body, dict) and "error_type" in body else {}
        answer = as_json(body, status, **named)
        answer.delivers = found if status == 200 else None
        return answer

    def _cancel(self, found: str) -> Answer:
        generation = self.book.generation(found)
        if generation is None:
            return as_json({"status": "NOT_FOUND"}, 404)
        if self._state(generation) == "COMPLETED":
            return as_json({"status": "ALREADY_COMPLETED"}, 400)
        self.book.cancel(found)
        return as_json({"status": "CANCELLATION_REQUESTED"}, 202)

    def _state(self, generation: dict[str, Any]) -> str:
        """Follows from the time that has passed, also in a process that began after it."""
        wanted, passed = self.scripted(generation["facts"]["model"]), time.time() - generation["at"]
        if generation["canceled"] or passed >= wanted.get("ready_seconds", 0) + generation["late"]:
            return "COMPLETED"
        return "IN_QUEUE" if passed < wanted.get("queued_seconds", 0) else "IN_PROGRESS"

    def _failed(self, generation: dict[str, Any]) -> bool:
        return generation["canceled"] or self.scripted(generation["facts"]["model"]).get("status", 200) >= 400

    def _ended(self, generation: dict[str, Any]) -> tuple[int, Any]:
        wanted = self.scripted(generation["facts"]["model"])
        if generation["canceled"]:
            return 499, {"detail": "Request was cancelled", "error_type": "client_cancelled"}
        if self._failed(generation):
            return wanted["status"], {name: wanted[name] for name in ("detail", "error_type") if name in wanted}
        picture = {"url": f"{self.url}/files/{generation['id']}.png", "content_type": "image/png", "width": 64}
        return 200, wanted.get("result", {"images": [picture], "seed": 1})

    def called_back(self, generation_id: str) -> tuple[bytes, dict[str, str]]:
        generation = self.book.generation(generation_id)
        assert generation is not None
        status, payload = self._ended(generation)
        told: dict[str, Any] = {"request_id": generation_id, "gateway_request_id": generation_id, "payload": payload}
        told |= {"status": "OK"} if status < 400 else {"status": "ERROR", "error": f"Invalid status code: {status}"}
        body = json.dumps(told).encode()
        return body, signed(self.signing_key, body, generation_id)

    def progress_called_back(self, generation_id: str, number: int) -> tuple[bytes, dict[str, str]]:
        body = json.dumps({"request_id": generation_id, "status": "IN_PROGRESS", "number": number}).encode()
        return body, signed(self.signing_key, body, generation_id)


def jwks(*keys: Ed25519PrivateKey) -> dict[str, Any]:
    """As fal publishes them."""
    public = [key.public_key().public_bytes_raw() for key in keys]
    return {
        "keys": [{"kty": "OKP", "crv": "Ed25519", "x": urlsafe_b64encode(each).decode().rstrip("=")} for each in public]
    }


def signed(key: Ed25519PrivateKey, body: bytes, request_id: str = "r", at: float | None = None) -> dict[str, str]:
    """The headers of a call back."""
    sent = str(int(time.time() if at is None else at))
    message = "\n".join((request_id, "user", sent, hashlib.sha256(body).hexdigest())).encode()
    return {
        "x-fal-webhook-request-id": request_id,
        "x-fal-webhook-user-id": "user",
        "x-fal-webhook-timestamp": sent,
        "x-fal-webhook-signature": key.sign(message).hex(),
    }


if __name__ == "__main__":
    main(FalFarSide)
