"""Replicate's server: predictions of models, versions and deployments, polled, canceled, and called back.

Script of a model (owner/name, a version, or a deployment): `ready_seconds`, `output` (any shape; without it an image's
address), `error` (it fails with these words), `end` ("canceled", "aborted"), `logs`, `metrics`, `webhook_secret` (calls
back, signed, when it ends).
"""

import hmac
import json
import threading
import time
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any
from uuid import uuid4

from tests.far_side.media import cut, drawn, noise, png
from tests.far_side.server import Answer, Ask, FarSide, as_json, main
from tests.far_side.storm import Storm, post

ENDED = ("succeeded", "failed", "canceled", "aborted")


class ReplicateFarSide(FarSide):
    prefix = "/v1"

    def answer(self, ask: Ask) -> Answer:
        match [ask.method, *ask.path.strip("/").split("/")]:
            case ["GET", "files", name]:
                whole = noise(name) if drawn(name, self.scripted("*").get("big", 0)) else png(name)
                return Answer(parts=[cut(whole, ask.truncated)], content_type="image/png")
            case ["POST", "v1", "predictions"]:
                return self._create(ask, ask.body().get("version"))
            case ["POST", "v1", "models" | "deployments", owner, name, "predictions"]:
                return self._create(ask, f"{owner}/{name}")
            case ["GET", "v1", "predictions", found]:
                return self._show(found)
            case ["POST", "v1", "predictions", found, "cancel"]:
                self._settle(found)
                self.book.end(found, "canceled")
                return self._show(found)
        return as_json(self.refusal(404, "The requested resource could not be found."), 404)

    def refusal(self, status: int, message: str) -> Any:
        return {"title": f"Status {status}", "detail": message, "status": status}

    def _create(self, ask: Ask, model: str) -> Answer:
        body, wanted = ask.body(), self.scripted(model)
        found = uuid4().hex[:26]
        self.book.begin(found, ask.key, {"model": model, "input": body.get("input"), "webhook": body.get("webhook")})
        if wanted.get("webhook_secret") and body.get("webhook"):
            timer = threading.Timer(
                wanted.get("ready_seconds", 0), self._call_back, (found, body["webhook"], wanted["webhook_secret"])
            )
            timer.daemon = True
            timer.start()
        prefer = ask.headers.get("prefer", "")
        if prefer.startswith("wait"):
            time.sleep(min(float(prefer.partition("=")[2] or 60), wanted.get("ready_seconds", 0)))
            return self._shown(found, 201)
        prediction = self.prediction(found)
        unfinished: dict[str, Any] = {"status": "starting", "output": None, "error": None, "logs": "", "metrics": {}}
        return as_json({**prediction, **unfinished}, 201)

    def _show(self, found: str) -> Answer:
        if self.book.generation(found) is None:
            return as_json(self.refusal(404, "The requested resource could not be found."), 404)
        return self._shown(found)

    def _shown(self, found: str, status: int = 200) -> Answer:
        prediction = self.prediction(found)
        answer = as_json(prediction, status)
        answer.delivers = found if prediction["status"] == "succeeded" else None
        return answer

    def _settle(self, found: str) -> None:
        """Its state follows from the time that has passed, also in a process that began after it."""
        generation = self.book.generation(found)
        if generation is None:
            return
        wanted = self.scripted(generation["facts"]["model"])
        if time.time() >= generation["at"] + wanted.get("ready_seconds", 0):
            self.book.end(found, wanted.get("end") or ("failed" if "error" in wanted else "succeeded"))

    def prediction(self, found: str) -> dict[str, Any]:
        self._settle(found)
        generation = self.book.generation(found)
        assert generation is not None
        wanted = self.scripted(generation["facts"]["model"])
        state = generation["state"]
        output = wanted.get("output", f"{self.root}/files/{found}.png") if state == "succeeded" else None
        return {
            "id": found,
            "model": generation["facts"]["model"],
            "version": "hidden",
            "input": generation["facts"]["input"],
            "output": output,
            "logs": wanted.get("logs", ""),
            "error": wanted.get("error") if state == "failed" else None,
            "status": state if state in ENDED else "processing",
            "metrics": wanted.get("metrics", {"predict_time": 1.5}) if state in ENDED else {},
            "created_at": "2026-01-01T00:00:00.000Z",
            "data_removed": wanted.get("data_removed", False),
            "urls": {
                "get": f"{self.url}/predictions/{found}",
                "cancel": f"{self.url}/predictions/{found}/cancel",
            },
        }

    def _call_back(self, found: str, url: str, secret: str) -> None:
        prediction = self.prediction(found)
        body = json.dumps(prediction).encode()
        if post(url, body, signed(secret, body)) and prediction["status"] == "succeeded":
            self.book.deliver(found)

        def progress(number: int) -> tuple[bytes, dict[str, str]]:
            late = {**prediction, "status": "processing", "output": None, "logs": f"{number % 100}%| late"}
            return json.dumps(late).encode(), signed(secret, json.dumps(late).encode())

        Storm.of(self.scripted("*")).blow(found, url, progress)


def signed(secret: str, body: bytes, at: float | None = None, message_id: str = "msg_1") -> dict[str, str]:
    """The headers of Standard Webhooks."""
    sent = str(int(time.time() if at is None else at))
    key = b64decode(secret.removeprefix("whsec_"))
    signature = hmac.digest(key, f"{message_id}.{sent}.".encode() + body, sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": sent,
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
    }


if __name__ == "__main__":
    main(ReplicateFarSide)
