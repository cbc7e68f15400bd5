"""Uncertain is not wrong in the words of others either: the answer to a COMMIT is lost, held or never sent, on every route that writes."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from api.dialects.routers import DIALECT_ROUTERS
from common.dialects.openai import BASE as OPENAI
from common.dialects.openai import name_of_job
from common.dialects.replicate import BASE as REPLICATE
from models.db import transaction
from models.files.uploads import id_text
from models.jobs import batches
from models.jobs.batches import Line
from tests.api.routes.test_commits import QUIET, Case, World, counted, in_process, quiet, sent
from tests.commits import FATES, Fate, proxied
from tests.conftest import environment
from tests.depth import pairs
from tests.files import picture
from tests.support import SCHEMA, assert_books_are_clean, model, order, placed, uploaded

__all__ = ["quiet"]  # a fixture

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

FAL = "/compat/fal"
SEEDED = counted("select count(*) from jobs where input->>'seed' = '77'")
CANCELED = counted("select count(*) from jobs where id = %s and ended = 'canceled'", "job")
UPLOADS = counted("select count(*) from uploads")
GONE = counted("select count(*) from uploads where status = 'deleted'")
LINE = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/images/generations",
    "body": {"model": "quick", "prompt": "batched"},
}
KINDS = {"film": "video", "voice": "speech", "words": "text", "pen": "image", "brush": "image"}
FILE = {"type": "string", "format": "file", "x-media": "image"}
WITH_MORE = {**SCHEMA, "properties": {**SCHEMA["properties"], "voice": {"type": "string"}, "image": FILE}}


def made_of(name: str) -> Callable[[World], int]:
    """How many jobs a model has got."""
    return counted(f"select count(*) from jobs where model_id = '{name}' and ended is null")


CASES = {
    "prediction": Case(
        "post", f"{REPLICATE}/predictions", SEEDED, json={"version": "headrace/quick", "input": {"seed": 77}}
    ),
    "prediction of a model": Case(
        "post", f"{REPLICATE}/models/headrace/quick/predictions", SEEDED, json={"input": {"seed": 77}}
    ),
    "prediction of a deployment": Case(
        "post", f"{REPLICATE}/deployments/headrace/quick/predictions", SEEDED, json={"input": {"seed": 77}}
    ),
    "cancel a prediction": Case("post", REPLICATE + "/predictions/{job}/cancel", CANCELED),
    "file of Replicate's": Case("post", f"{REPLICATE}/files", UPLOADS, files={"content": ("a.png", picture())}),
    "delete a file of Replicate's": Case("delete", REPLICATE + "/files/{upload}", GONE),
    "picture": Case("post", f"{OPENAI}/images/generations", made_of("pen"), json={"model": "pen", "prompt": "a harbour"}),
    "edit": Case(
        "post", f"{OPENAI}/images/edits", made_of("brush"), data={"model": "brush", "prompt": "a harbour"},
        files={"image": ("a.png", picture())},
    ),
    "film": Case("post", f"{OPENAI}/videos", made_of("film"), json={"model": "film", "prompt": "a harbour"}),
    "delete a film": Case(
        "delete", OPENAI + "/videos/{film}", counted("select count(*) from jobs where model_id = 'film' and ended = 'canceled'")
    ),
    "speech": Case(
        "post", f"{OPENAI}/audio/speech", made_of("voice"), json={"model": "voice", "input": "a harbour", "voice": "alloy"}
    ),
    "chat": Case(
        "post", f"{OPENAI}/chat/completions", made_of("words"),
        json={"model": "words", "messages": [{"role": "user", "content": "a harbour"}]},
    ),
    "response": Case("post", f"{OPENAI}/responses", made_of("words"), json={"model": "words", "input": "a harbour"}),
    "cancel a response": Case(
        "post", OPENAI + "/responses/{text}/cancel", counted("select count(*) from jobs where model_id = 'words' and ended = 'canceled'")
    ),
    "file of OpenAI's": Case(
        "post", f"{OPENAI}/files", UPLOADS, data={"purpose": "vision"}, files={"file": ("a.png", picture())}
    ),
    "delete a file of OpenAI's": Case("delete", OPENAI + "/files/{upload}", GONE),
    "batch": Case(
        "post", f"{OPENAI}/batches", counted("select count(*) from jobs where input->>'prompt' = 'batched'"),
        json={"input_file_id": "{lines}", "endpoint": "/v1/images/generations", "completion_window": "24h"},
    ),
    "cancel a batch of OpenAI's": Case(
        "post", OPENAI + "/batches/{batch}/cancel", counted("select count(*) from batches where cancel_requested_at is not null")
    ),
    "request": Case("post", f"{FAL}/queue/headrace/quick", SEEDED, json={"seed": 77}),
    "run": Case("post", f"{FAL}/run/headrace/quick", SEEDED, json={"seed": 77}),
    "cancel a request": Case("put", FAL + "/queue/headrace/quick/requests/{job}/cancel", CANCELED),
    "cancel a request of run's": Case("put", FAL + "/run/headrace/quick/requests/{job}/cancel", CANCELED),
    "file of fal's": Case("post", f"{FAL}/cdn/files/upload", UPLOADS, content=picture()),
    "file at an address": Case("put", FAL + "/cdn/uploads/{address}", UPLOADS, content=picture()),
}  # fmt: skip

# Which write nothing, and why; `proxy` sends what it is sent to another of these.
NOT_HERE = {
    f"{FAL}/cdn/files/upload/multipart": "refused", f"{FAL}/rest/storage/upload/initiate-multipart": "refused",
    f"{FAL}/rest/storage/auth/token": "a signed token", f"{FAL}/rest/storage/upload/initiate": "a signed address",
    f"{FAL}/queue": "refused", f"{FAL}/run": "refused", f"{FAL}/proxy": "another route", "/mcp": "tests/sdks/test_mcp.py",
    f"{REPLICATE}/models": "a search", f"{OPENAI}/responses/{{name}}": "with its job's results, as DELETE /v1/jobs/{id}/outputs",
}  # fmt: skip


def prepare(world: World, name: str) -> None:
    """Models of each kind, and what only some of the routes are about."""
    offers = {each: model(each, kind=kind, input_schema=WITH_MORE) for each, kind in KINDS.items()}
    if name == "delete a film":
        world.film = name_of_job("video", placed(world.who, offers["film"], {"prompt": "x"}))
    if name == "cancel a response":
        world.text = name_of_job("resp", placed(world.who, offers["words"], {"prompt": "x"}))
    if name.startswith("delete a file"):
        world.upload = id_text(uploaded(world.who, [picture()]).id)
    if name.startswith("cancel a batch"):
        with transaction() as conn:
            asked = [Line(1, None, order(world.who, model("quick")))]
            placed_batch = batches.place(
                conn, world.who, asked, all_or_none=True, said={"endpoint": "/v1/images/generations"}
            )
            world.batch = name_of_job("batch", placed_batch.row.id)


def prepare_by_asking(http: TestClient, world: World, name: str) -> None:
    """What is had by asking for it first."""
    head = {"authorization": f"Bearer {world.secret}"}
    if name == "batch":
        files = {"file": ("a.jsonl", json.dumps(LINE).encode())}
        world.lines = http.post(f"{OPENAI}/files", data={"purpose": "batch"}, files=files, headers=head).json()["id"]
    if name == "file at an address":
        asked = {"content_type": "image/png", "file_name": "a.png"}
        answer = http.post(f"{FAL}/rest/storage/upload/initiate", json=asked, headers=head)
        world.address = answer.json()["upload_url"].rpartition("/")[2]


def test_every_route_of_others_that_writes_is_a_case() -> None:
    asked = [(case.method.upper(), re.sub("{.*?}", "x", case.path)) for case in CASES.values()]
    left = [
        (route.path_format, method)
        for router in DIALECT_ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.path_format not in NOT_HERE
        for method in (route.methods or set()) - {"GET", "HEAD"}
        if not any(method == each and route.path_regex.match(path) for each, path in asked)
    ]
    assert not left


@pytest.mark.parametrize(("name", "fate"), pairs(list(CASES), list(FATES)))
def test_a_commit_without_an_answer_is_found_out_in_the_words_of_others(quiet: str, name: str, fate: Fate) -> None:
    world, case = World(), CASES[name]
    prepare(world, name)
    with (
        proxied(quiet) as proxy,
        environment({**QUIET, "DATABASE_URL": proxy.url, "PREFER_WAIT_SECONDS": "1"}),
        in_process() as http,
    ):
        assert http.get("/v1/credits", headers={"authorization": f"Bearer {world.secret}"}).status_code == 200
        prepare_by_asking(http, world, name)
        before = case.done(world)
        proxy.arm(fate)
        answer = sent(http, world, case)
        assert proxy.met.is_set()
        proxy.release()
        if not is_heard(answer):
            assert (answer.status_code, fate == "acknowledgement lost") == (503, False), answer.text
            assert answer.headers["retry-after"]
            assert case.done(world) == before, "what was answered as not done was not done"
            again = sent(http, world, case)
            assert is_heard(again), again.text
        assert case.done(world) == before + 1
    assert_books_are_clean()


def is_heard(answer: Any) -> bool:
    """Whether an order was taken: what it brings may be waited for in vain here, where nobody works."""
    return answer.status_code < 300 or answer.status_code in (429, 504)
