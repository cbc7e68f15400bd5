"""The far sides of the sweep: those of tests/far_side in threads of this process, which call nobody back by themselves,
and a small server that speaks as Cog does.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from models.jobs import callbacks
from tests.far_side import queue_faults
from tests.far_side.book import Book
from tests.far_side.fal import FalFarSide
from tests.far_side.http import HttpFarSide
from tests.far_side.http import signed as signed_http
from tests.far_side.openai import OpenAIFarSide
from tests.far_side.queue_server import Answer, Ask, FarSide, as_json, png
from tests.far_side.replicate import ReplicateFarSide
from tests.far_side.replicate import signed as signed_replicate

SECRET = "whsec_" + b64encode(b"the secret of a far side that is swept").decode()
NEVER = 10_000.0  # seconds until a generation is ready, unless the driver ripens it


class Generation(NamedTuple):
    """What a far side began: for which job and attempt, and whether it failed there."""

    job_id: str
    number: int
    failed: bool


class Call(NamedTuple):
    """What a far side tells us by itself."""

    path: str
    body: bytes
    headers: dict[str, str]


class Fal(FalFarSide):
    def call_back(self, *_: Any) -> None:
        """Only when the driver says so."""


class Http(HttpFarSide):
    def call_back(self, *_: Any) -> None:
        """Only when the driver says so."""

    def _signed(self, ask: Ask) -> bool:
        given = ask.headers.get("webhook-signature", "")
        name, at = ask.headers.get("webhook-id", ""), ask.headers.get("webhook-timestamp", "")
        return given == signed_http(ask.raw, name, at, SECRET)["webhook-signature"]


class Cog(FarSide):
    """Cog's server as far as workers/providers/cog.py knows it: a PUT runs the model, and its answer is the result."""

    def key_of(self, ask: Ask) -> str:
        return ask.path

    def answer(self, ask: Ask) -> Answer:
        match [ask.method, *ask.path.strip("/").split("/")]:
            case ["GET", "health-check"]:
                return as_json({"status": "READY"})
            case ["GET", "files", name]:
                return self.picture(ask, name)
            case ["PUT", "predictions", found]:
                job, _, number = found.rpartition("-")
                self.book.begin(found, f"{job}:{number}", {"model": "cog"})
                output = "data:image/png;base64," + b64encode(png(found)).decode()
                return as_json({"id": found, "status": "succeeded", "output": output, "metrics": {"predict_time": 1}})
        return as_json({"detail": "there is no such prediction"}, 404)

    def called_back(self, generation_id: str) -> tuple[bytes, dict[str, str]]:
        raise NotImplementedError("results come with the answer here")


class Input(FarSide):
    """Where a client's input lies."""

    def key_of(self, ask: Ask) -> str:
        return ask.path

    def answer(self, ask: Ask) -> Answer:
        return Answer(body=png(ask.path), content_type="image/png")

    def called_back(self, generation_id: str) -> tuple[bytes, dict[str, str]]:
        raise NotImplementedError


SLOW = {"ready_seconds": NEVER}
SCRIPTS: dict[str, dict[str, dict[str, Any]]] = {
    "openai": {"url": {"answer": "url"}, "same": {"idempotent": True}},
    "replicate": {"owner/slow": SLOW, "owner/quick": {}},
    "fal": {"owner/slow": SLOW},
    "http": {"slow": {**SLOW, "poll_after_seconds": 0.1, "calls": False}, "quick": {}},
    "cog": {},
    "input": {},
}
MADE: dict[str, Any] = {
    "openai": OpenAIFarSide, "replicate": ReplicateFarSide, "fal": Fal, "http": Http, "cog": Cog, "input": Input,
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {
    "replicate": {"webhook_secret": "WEBHOOK_SECRET"},
    "fal": {"jwks_url": "{url}/.well-known/jwks.json"},
    "http": {"secret": "OWN_SECRET"},
}


class FarSides:
    """All of them, by their adapter's name."""

    def __init__(self, sides: dict[str, Any]) -> None:
        self.sides = sides

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["FarSides"]:
        with ExitStack() as stack:
            sides = {}
            for name, kind in MADE.items():
                book = Book(":memory:") if name in {"openai", "replicate"} else queue_faults.Book(":memory:")
                sides[name] = stack.enter_context(kind(book, script=SCRIPTS[name]).running())
            yield cls(sides)

    def place(self, name: str) -> str:
        return urlsplit(self.sides[name].url).netloc

    def ports(self) -> dict[str, int]:
        return {name: urlsplit(side.url).port or 0 for name, side in self.sides.items()}

    def providers(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Each as the catalogue has it: its name, address and other fields."""
        found = [
            (name, side.url, {
                "adapter": name, "faults": 1000,
                "options": json.loads(json.dumps(OPTIONS.get(name, {})).replace("{url}", side.url)),
            })
            for name, side in self.sides.items() if name != "input"
        ]  # fmt: skip
        found.append(("openai-same", self.sides["openai"].url, {"adapter": "openai", "options": {"idempotent": True}}))
        found.append(("nowhere", "http://127.0.0.1:9/v1", {"adapter": "openai"}))
        return found

    def clear(self) -> None:
        for side in self.sides.values():
            side.book._do("delete from generations")
            side.book._do("delete from calls")

    def ripen(self) -> None:
        """What is under way is ready now."""
        for side in self.sides.values():
            side.book._do("update generations set at = at - ?", 2 * NEVER)

    def generations(self, name: str) -> list[Generation]:
        side = self.sides[name.partition("-")[0]]
        return [_generation(name, each) for each in side.book.generations()]

    def calls_back(self, name: str) -> list[Call]:
        """What a provider would tell us now of all that it has begun."""
        side, calls = self.sides[name], []
        for each in side.book.generations():
            match name:
                case "replicate":
                    url, body = each["facts"]["webhook"], json.dumps(side.prediction(each["id"])).encode()
                    headers = signed_replicate(SECRET, body)
                case "fal":
                    url, (body, headers) = each["facts"]["webhook"], side.called_back(each["id"])
                case _:
                    url = each["facts"]["body"]["callback_url"]
                    body = json.dumps(side._told(each["id"])).encode()
                    headers = signed_http(body, each["id"], None, SECRET)
            calls.append(Call(urlsplit(url).path, body, headers))
        return calls


def _generation(name: str, each: dict[str, Any]) -> Generation:
    failed = bool(each.get("canceled")) or each.get("state") in {"failed", "canceled"}
    if name == "fal":
        job, number = callbacks.attempt_of(each["facts"]["webhook"].rpartition("/")[2])
        return Generation(str(job), number, failed)
    job_id, _, count = (each["key"] or "").rpartition(":")
    return Generation(job_id, int(count or 0), failed)
