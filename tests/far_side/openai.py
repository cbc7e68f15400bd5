"""An OpenAI-compatible server: images, edits, chat, speech.

Script of a model: `answer` "b64" or "url" or "data" or "mixed" (half of the pictures by address), `big` (the share of
pictures of over a mebibyte), `deltas` (the text's parts), `pause` between them, `finish`,
`usage` (False: none is sent; a mapping: added to it), `error` {status, body} or, in a stream, `error_after` {body},
`events` (what a stream sends instead of all this), `stream` (False: chat answers with JSON), `idempotent`.
"""

import base64
import json
import threading
from typing import Any
from uuid import uuid4

from tests.far_side.media import cut, drawn, noise, png, wav
from tests.far_side.server import Answer, Ask, FarSide, as_json, main


class OpenAIFarSide(FarSide):
    prefix = "/v1"

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        self._lock = threading.Lock()

    def answer(self, ask: Ask) -> Answer:
        if ask.method == "GET" and ask.path.startswith("/files/"):
            return Answer(parts=[cut(self._picture(ask.path), ask.truncated)], content_type="image/png")
        makers = {
            "/v1/images/generations": self._images,
            "/v1/images/edits": self._images,
            "/v1/chat/completions": self._chat,
            "/v1/audio/speech": self._speech,
        }
        maker = makers.get(ask.path)
        if maker is None:
            return as_json(self.refusal(404, f"Invalid URL ({ask.method} {ask.path})"), 404)
        body = ask.body()
        wanted = self.scripted(str(body.get("model")))
        if "error" in wanted:
            return as_json(wanted["error"]["body"], wanted["error"]["status"])
        with self._lock:
            before = self.book.generations(ask.key) if wanted.get("idempotent") and ask.key else []
            found = before[0]["id"] if before else uuid4().hex
            if not before:
                self.book.begin(found, ask.key, {"path": ask.path, "model": body.get("model")})
        answer = maker(ask, body, wanted)
        answer.delivers = None if ask.truncated else found
        return answer

    def _picture(self, name: str) -> bytes:
        return noise(name) if drawn(name, self.scripted("*").get("big", 0)) else png(name)

    def refusal(self, status: int, message: str) -> Any:
        kind = "server_error" if status >= 500 else "rate_limit_exceeded" if status == 429 else "invalid_request_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}

    def _images(self, ask: Ask, body: dict[str, Any], wanted: dict[str, Any]) -> Answer:
        data = []
        for number in range(int(body.get("n") or 1)):
            name = f"/files/{body.get('prompt')}-{number}.png".replace(" ", "-")
            encoded = base64.b64encode(cut(self._picture(name), ask.truncated)).decode()
            shape = wanted.get("answer", "b64")
            match shape if shape != "mixed" else "url" if drawn(f"by address {name}", 0.5) else "b64":
                case "url":
                    data.append({"url": self.root + name})
                case "data":
                    data.append({"url": f"data:image/png;base64,{encoded}"})
                case _:
                    data.append({"b64_json": encoded})
        answer: dict[str, Any] = {"created": 1, "data": data}
        if isinstance(wanted.get("usage"), dict):
            answer["usage"] = wanted["usage"]
        return as_json(answer)

    def _chat(self, ask: Ask, body: dict[str, Any], wanted: dict[str, Any]) -> Answer:
        deltas = wanted.get("deltas", ["The ", "lake ", "is ", "still."])
        finish = wanted.get("finish", "stop")
        usage = None
        if wanted.get("usage", True) is not False:
            usage = {"prompt_tokens": 7, "completion_tokens": len(deltas), "total_tokens": 7 + len(deltas)}
            usage |= wanted["usage"] if isinstance(wanted.get("usage"), dict) else {}
        if not body.get("stream") or wanted.get("stream") is False:
            message = {"role": "assistant", "content": "".join(deltas)}
            choice = {"index": 0, "message": message, "finish_reason": finish}
            return as_json({"id": "c-1", "object": "chat.completion", "choices": [choice], "usage": usage})
        events = wanted.get("events")
        if events is None:
            events = [_chunk({"content": each}) for each in deltas]
            if "error_after" in wanted:
                events.append(wanted["error_after"])
            else:
                events.append(_chunk({}, finish))
                if usage and (body.get("stream_options") or {}).get("include_usage"):
                    events.append({"id": "c-1", "object": "chat.completion.chunk", "choices": [], "usage": usage})
                events.append("[DONE]")
        # Raw U+2028, as OpenAI sends it: JSON allows it, and some line splitters do not.
        lines = [
            f"data: {each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)}\n\n".encode()
            for each in events
        ]
        lines.insert(0, b": OPENROUTER PROCESSING\n\n")
        return Answer(parts=lines, content_type="text/event-stream", chunked=True, pause=wanted.get("pause", 0.0))

    def _speech(self, ask: Ask, body: dict[str, Any], wanted: dict[str, Any]) -> Answer:
        data = cut(wav(str(body.get("input"))), ask.truncated)
        return Answer(parts=_split(data), content_type="audio/wav", chunked=True, pause=wanted.get("pause", 0.0))


def _split(data: bytes, size: int = 1000) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "choices": [choice]}


if __name__ == "__main__":
    main(OpenAIFarSide)
