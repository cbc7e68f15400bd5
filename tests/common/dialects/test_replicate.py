"""Predictions: whatever is known of a job, the library of those who read them can."""

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import orjson
import pytest
from replicate.account import Account
from replicate.prediction import Prediction

from common.dialects.replicate import (
    logs,
    model_name,
    prediction,
    prediction_at,
    stream_address,
    streamed_by,
    version_id,
)
from common.dialects.told import ToldFile, ToldJob, ToldKind, ToldStatus
from common.tokens import FILE, make_token
from tests.support import almost

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
ID = UUID("01a1fd03-f4e4-7365-bf9d-4827335166ca")
KINDS: tuple[ToldKind, ...] = ("image", "video", "speech", "text")
LIVING: tuple[ToldStatus, ...] = ("queued", "running")
OVER: tuple[ToldStatus, ...] = ("succeeded", "failed", "canceled")


def stored(number: int = 1) -> ToldFile:
    return ToldFile(f"https://x.test/files/{number}", None, "image/png", 10, None, None, None, None)


def job(status: ToldStatus = "succeeded", kind: ToldKind = "image", **changes: object) -> ToldJob:
    made = ToldJob(
        id=ID, model="m", version=1, kind=kind, status=status, input={"prompt": "x"}, files=[], text=None, error_code=None,
        error_message=None, created_at=NOW, started_at=None, ended_at=NOW if status in OVER else None, progress=None,
        position=None, reason=None, credits=None,
    )  # fmt: skip
    return made._replace(**changes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [*LIVING, *OVER])
def test_every_state_parses_whatever_is_not_known(status: ToldStatus, kind: ToldKind) -> None:
    choices = {
        "files": ([], [stored()], [stored(1), stored(2)]), "text": (None, "", "a text"), "error_code": (None, "timeout"),
        "error_message": (None, "too slow"), "started_at": (None, NOW - timedelta(seconds=2)), "progress": (None, 0, 37, 100),
        "input": ({}, {"prompt": "x", "n": {"deep": [1]}}),
    }  # fmt: skip
    for values in product(*choices.values()):
        for creating in (False, True):
            told = prediction(job(status, kind, **dict(zip(choices, values, strict=True))), creating=creating)
            read = Prediction.parse_obj(orjson.loads(orjson.dumps(told)))
            assert isinstance(read.version, str)
            assert ("stream" in (read.urls or {})) == (kind == "text")
            assert (read.status == "failed") == (read.error is not None), told
            assert None not in told["urls"].values()
            if status in LIVING:
                assert (read.output, read.completed_at, told["metrics"]) == (None, None, {})
                assert read.status == ("starting" if creating or status == "queued" else "processing")
            else:
                assert read.status == status


def test_a_model_that_brings_one_is_told_so() -> None:
    two = [stored(1), stored(2)]
    assert prediction(job(kind="image", outputs="one", files=two))["output"] == two[0].url
    assert prediction(job(kind="video", outputs="list", files=two))["output"] == [each.url for each in two]
    assert prediction(job(kind="image", outputs="one"))["output"] is None


def test_outputs_have_the_form_of_their_kind() -> None:
    two = [stored(1), stored(2)]
    assert prediction(job(kind="image", files=two))["output"] == [each.url for each in two]
    assert prediction(job(kind="video", files=two))["output"] == two[0].url
    assert prediction(job(kind="speech", files=two[:1]))["output"] == two[0].url
    assert prediction(job(kind="text", files=two[:1], text="a text"))["output"] == ["a text"]
    for kind in KINDS:  # what is not kept any more is said to be gone, and is not an empty result
        gone = prediction(job(kind=kind))
        assert (gone["output"], gone["data_removed"]) == (None, True)


def test_progress_is_a_line_that_the_library_reads() -> None:
    assert logs(job("queued")) == ""
    for done in (0, 1, 37, 99, 100):
        read = Prediction.Progress.parse(logs(job("running", progress=done)))
        assert read is not None
        assert (read.percentage, read.current, read.total) == (done / 100, done, 100)
    assert logs(job("running", progress=250)).startswith("100%|")
    assert logs(job("running", progress=-3)).startswith("  0%|")


def test_a_webhook_tells_of_the_moment_that_it_is_about() -> None:
    over = job(files=[stored()], started_at=NOW, progress=100)
    start, output, completed = (prediction_at(over, each) for each in ("job.queued", "job.output", "job.succeeded"))
    assert [start[each] for each in ("status", "output", "started_at", "completed_at", "logs")] == [
        "starting",
        None,
        None,
        None,
        "",
    ]
    assert [output[each] for each in ("status", "output", "completed_at")] == ["processing", [stored().url], None]
    assert (completed["status"], completed["completed_at"]) == ("succeeded", NOW)
    failed = job("failed", error_code="timeout", error_message="too slow")
    assert prediction_at(failed, "job.queued")["error"] is None
    assert prediction_at(failed, "job.failed")["error"] == "too slow"
    for each in (start, output, completed):
        Prediction.parse_obj(orjson.loads(orjson.dumps(each)))


def test_names_of_models_and_versions() -> None:
    assert model_name("flux") == "headrace/flux"
    assert model_name("a/b") == "a/b"
    known = {version_id("flux", 1), version_id("flux", 2), version_id("flu", 1)}
    assert len(known) == 3
    assert all(len(each) == 64 and set(each) <= set("0123456789abcdef") for each in known)
    assert version_id("flux", 1) == version_id("flux", 1)


def test_a_stream_has_an_address_that_only_we_can_have_made() -> None:
    token = stream_address(ID).rpartition("/")[2]
    assert streamed_by(token) == ID
    assert streamed_by(almost(token)) is None
    assert streamed_by(make_token(FILE, ID.bytes)) is None, "an address of a file is none of a stream"
    for odd in ("", "x", "=", "é", "a" * 5000):
        assert streamed_by(odd) is None


def test_an_account_parses() -> None:
    assert Account(type="user", username="a", name="b", github_url=None).type == "user"
