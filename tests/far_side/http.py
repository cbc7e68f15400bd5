"""An operator's endpoint as the tests need it: docs/providers-http.md, well done, and misbehaving when told.

Script of a model: `ready_seconds` (0: the answer comes at once), `outputs` (without it one picture's address), `error`
(it fails so), `cost_usd_micros`, `usage`, `progress`, `poll_after_seconds`, `own_id` (answers an id of its own), `calls`
(false: it does not call back), `stops` (false: DELETE is 405).
"""

import hashlib
import hmac
import json
import time
from base64 import b64decode, b64encode
from typing import Any

from tests.far_side.queue_server import Answer, Ask, FarSide, as_json, main

SECRET = "whsec_" + b64encode(b"an operator's endpoint and us").decode()


class HttpFarSide(FarSide):
    def key_of(self, ask: Ask) -> str:
        return ask.headers.get("webhook-id") or ask.path

    def answer(self, ask: Ask) -> Answer:
        match [ask.method, *ask.path.strip("/").split("/")]:
            case ["GET", "files", name]:
                return self.picture(ask, name)
        if not self._signed(ask):
            return as_json({"error": {"message": "the signature is wrong"}}, 401)
        match [ask.method, *ask.path.strip("/").split("/")]:
            case ["POST", *model]:
                return self._start(ask, "/".join(model))
            case ["GET", *_, found]:
                return self._show(found)
            case ["DELETE", *model, found]:
                if not self.scripted("/".join(model)).get("stops", True):
                    return as_json({"error": {"message": "there is no way to stop it"}}, 405)
                self.book.cancel(found)
                return self._show(found)
        return as_json({"error": {"message": "Not Found"}}, 404)

    def _signed(self, ask: Ask) -> bool:
        given = ask.headers.get("webhook-signature", "")
        right = signed(ask.raw, ask.headers.get("webhook-id", ""), ask.headers.get("webhook-timestamp", ""))
        return hmac.compare_digest(given, right["webhook-signature"])

    def _start(self, ask: Ask, model: str) -> Answer:
        """A repeated id is the same generation: the same row, and the same answer."""
        body, wanted = json.loads(ask.raw), self.scripted(model)
        found = f"own-{body['id'].replace(':', '-')}" if wanted.get("own_id") else body["id"]
        new = self.book.begin(found, body["id"], {"model": model, "body": body}, self.late(ask))
        if new and body["callback_url"] and wanted.get("ready_seconds") and wanted.get("calls", True):
            self.call_back(ask, found, body["callback_url"], wanted["ready_seconds"])
        return self._show(found)

    def _show(self, found: str) -> Answer:
        told = self._told(found)
        if told is None:
            return as_json({"error": {"message": "no such generation"}}, 404)
        answer = as_json(told, 200 if told["status"] in {"succeeded", "failed"} else 202)
        answer.delivers = found if told["status"] == "succeeded" else None
        return answer

    def _told(self, found: str) -> dict[str, Any] | None:
        """Follows from the time that has passed, also in a process that began after it."""
        generation = self.book.generation(found)
        if generation is None:
            return None
        wanted = self.scripted(generation["facts"]["model"])
        told: dict[str, Any] = {"id": found}
        if generation["canceled"]:
            return told | {"status": "failed", "error": {"code": "canceled", "message": "stopped at your request"}}
        if time.time() < generation["at"] + wanted.get("ready_seconds", 0) + generation["late"]:
            return told | {"status": "running"} | _chosen(wanted, "progress", "poll_after_seconds")
        told |= _chosen(wanted, "cost_usd_micros", "usage")
        if "error" in wanted:
            return told | {"status": "failed", "error": wanted["error"]}
        picture = {"url": f"{self.url}/files/{found.replace(':', '-')}.png", "media_type": "image/png"}
        return told | {"status": "succeeded", "outputs": wanted.get("outputs", [picture])}

    def called_back(self, generation_id: str) -> tuple[bytes, dict[str, str]]:
        body = json.dumps(self._told(generation_id)).encode()
        return body, signed(body, generation_id)

    def progress_called_back(self, generation_id: str, number: int) -> tuple[bytes, dict[str, str]]:
        body = json.dumps({"id": generation_id, "status": "running", "progress": number % 100, "n": number}).encode()
        return body, signed(body, generation_id)


def _chosen(wanted: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: wanted[name] for name in names if name in wanted}


def signed(body: bytes, message_id: str, sent: str | None = None, secret: str = SECRET) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    sent = str(int(time.time())) if sent is None else sent
    key = b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message_id}.{sent}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": sent,
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }


if __name__ == "__main__":
    main(HttpFarSide)
