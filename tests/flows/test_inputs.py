"""Files that a job's input names: uploaded, sent along or fetched; what the provider gets, and what goes wrong."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from models.catalogue import entries
from models.catalogue.entries import Entry
from models.db import transaction
from tests.conftest import environment
from tests.far_side import deployment
from tests.far_side.book import Book
from tests.far_side.openai import OpenAIFarSide
from tests.support import System, account, assert_books_are_clean, balance, ended

EDIT_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "prompt": {"type": "string"},
        "image_url": {"type": "string", "format": "image", "maxLength": 900_000},
    },
}


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 30)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def painter(system: System, tmp_path: Path) -> Iterator[OpenAIFarSide]:
    far = OpenAIFarSide(Book(tmp_path / "far.db"))
    entry: dict[str, Any] = {
        "id": "editor", "name": "editor", "kind": "image", "input_schema": EDIT_SCHEMA, "max_attempts": 1,
        "price": {"unit": "job", "credits": 2}, "routes": [{"provider": "painter", "model": "gpt-image-1"}],
    }  # fmt: skip
    with environment({deployment.KEY_VARIABLE: deployment.KEY}), far.running():
        deployment.provider("painter", "openai", far.url)
        with transaction() as conn:
            entries.apply(conn, [Entry.model_validate(entry)])
        yield far
        system.stop()


def test_an_uploaded_file_and_one_sent_along_reach_the_provider_as_bytes(
    system: System, painter: OpenAIFarSide
) -> None:
    who = account(amount=10)
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        upload = http.post("/v1/files", files={"file": ("red.png", picture(), "image/png")}).json()
        assert (upload["media_type"], upload["width"], upload["height"]) == ("image/png", 40, 30)
        along = "data:image/png;base64," + base64.b64encode(picture()).decode()
        for given in (upload["id"], along):
            body = {"model": "editor", "input": {"prompt": "make it blue", "image_url": given}}
            job = http.post("/v1/jobs", json=body).json()
            assert ended(http, job["id"])["status"] == "succeeded"
            assert len(str(job["input"])) < 200  # the file itself is not in the job
    asked = painter.book.calls("/images/edits")
    assert len(asked) == 2
    for call in asked:
        sent = next(value for name, value in call["body"].items() if name.startswith("image"))
        assert sent["size"] == len(picture())
    assert_books_are_clean()


def test_an_address_in_the_own_network_ends_the_job_refunded_and_nobody_is_asked(
    system: System, painter: OpenAIFarSide
) -> None:
    who = account(amount=10)
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        for address in (
            "http://localhost.example.invalid/x.png",
            "http://[::ffff:127.0.0.1]/x.png",
            "http://2130706433/",
        ):
            body = {"model": "editor", "input": {"prompt": "x", "image_url": address}}
            answer = http.post("/v1/jobs", json=body)
            if answer.status_code == 201:
                done = ended(http, answer.json()["id"])
                assert done["status"] == "failed"
                assert done["error"]["code"] in {"refused_address", "unreachable"}, done["error"]
            else:
                assert (answer.status_code, answer.json()["param"]) == (422, "input.image_url")
        missing = {"model": "editor", "input": {"prompt": "x", "image_url": "file_doesnotexist"}}
        refused = http.post("/v1/jobs", json=missing)
        assert refused.status_code in {404, 422}
    assert painter.book.calls() == []
    assert balance(who) == (10, 0)
    assert_books_are_clean()


def test_another_tenants_upload_is_not_there(system: System, painter: OpenAIFarSide) -> None:
    owner, stranger = account(amount=10), account(amount=10)
    system.start("api")
    with system.client(owner) as mine, system.client(stranger) as theirs:
        upload = mine.post("/v1/files", files={"file": ("red.png", picture(), "image/png")}).json()
        body = {"model": "editor", "input": {"prompt": "x", "image_url": upload["id"]}}
        assert theirs.get(f"/v1/files/{upload['id']}").status_code == 404
        assert theirs.post("/v1/jobs", json=body).status_code in {404, 422}
        assert balance(stranger) == (10, 0)
