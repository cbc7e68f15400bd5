"""Jobs and refusals in OpenAI's words, at each state and with whatever is not known. Pure."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from openai.types import Video
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from api.dialects.openai.batch_results import line_shape, output_named
from api.dialects.openai.ordering import job_of_name
from api.dialects.openai.refusals import refuse_openai
from api.dialects.openai.streams import event_of
from api.edge.voices import PlainRefusal
from common.dialects.openai import completion, failure_status, response, tokens, video
from common.dialects.told import ToldFile, ToldJob
from common.errors import NotFound
from models.jobs.batch_rows import LineRow

AT = datetime(2026, 11, 28, tzinfo=UTC)
ID = UUID("01a1fd03-f4e4-7365-bf9d-4827335166ca")
FILE = ToldFile("https://h/files/x", None, "video/mp4", 9, 1280, 720, 5.0, AT)
STATUSES = ("queued", "running", "succeeded", "failed", "canceled")


def job(status: Any, **more: Any) -> ToldJob:
    """A job that stands so."""
    over = status in ("succeeded", "failed", "canceled")
    plain = ToldJob(
        ID, "one", 1, "video", status, {}, [], None, None, None, AT, None, AT if over else None, None, None, None, None
    )
    return plain._replace(**more)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("known", [True, False])
def test_a_video_parses_strictly_at_each_state(status: str, known: bool) -> None:
    more: dict[str, Any] = (
        {"files": [FILE], "input": {"prompt": "p", "duration": 5}, "progress": 7, "error_code": "moderated"}
        if known
        else {}
    )
    shown = video(job(status, **more))
    read = Video.model_validate({**shown, "seconds": shown["seconds"] or "4", "size": shown["size"] or "720x1280"})
    assert (read.status == "failed") == (status in ("failed", "canceled")) == (read.error is not None)
    assert shown["seconds"] == ("5" if known else "")
    assert (read.progress == 100) == (status == "succeeded")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("usage", [None, {}, {"tokens_in": 1}, {"tokens_in": 1, "tokens_out": 2.0}])
def test_texts_parse_strictly_with_their_usage_whole_or_absent(status: str, usage: dict[str, Any] | None) -> None:
    text = job(status, kind="text", text="Hi" if status == "succeeded" else None, error_message="no")
    assert ChatCompletion.model_validate(completion(text, usage)).choices[0].finish_reason == "stop"
    read = Response.model_validate(response(text, usage))
    assert (read.output_text == "Hi") == (status == "succeeded")
    assert ("usage" in response(text, usage)) == ("usage" in completion(text, usage)) == (tokens(usage) is not None)


def refusal(status: int, code: str, *, retryable: bool = False, **extra: Any) -> PlainRefusal:
    return PlainRefusal(status, code, "so", "So", "n", retryable, "r", extra)


def test_refusals_are_one_object_and_say_whether_to_send_again() -> None:
    for status, code, kind in (
        (402, "insufficient_quota", "insufficient_quota"),
        (401, "invalid_api_key", "invalid_request_error"),
    ):
        spoken = refuse_openai(refusal(status, {401: "not_authenticated", 402: "not_enough_credits"}[status]))
        assert (spoken.body["error"]["code"], spoken.body["error"]["type"], spoken.headers["x-should-retry"]) == (
            code,
            kind,
            "false",
        )
    waits = refuse_openai(refusal(503, "busy", retryable=True, retry_after=900))
    assert (dict(waits.headers), waits.body["error"]["type"]) == ({"retry-after": "60"}, "server_error")
    assert refuse_openai(refusal(422, "invalid_input")).status == 400
    assert refuse_openai(refusal(504, "still_running", job_id="j")).body["error"]["job_id"] == "j"
    assert {failure_status(each) for each in ("moderated", "invalid_input", "canceled")} == {400}
    assert (failure_status("timed_out"), failure_status("provider_failed")) == (504, 502)


def test_names_are_read_back_and_others_name_nothing() -> None:
    for name in (ID.hex, str(ID), f"video_{ID.hex}", f"resp_{ID.hex}", f"chatcmpl-{ID.hex}"):
        assert job_of_name(name, "job") == ID
    for name in ("", "video_", f"video_{ID.hex}0", f"other_{ID.hex}", "x" * 999, f"video_video_{ID.hex}"):
        with pytest.raises(NotFound):
            job_of_name(name, "job")
    assert output_named(f"file_out_{ID.hex}")
    assert output_named(f"file_{ID.hex}") is None


def test_no_line_of_a_stream_is_cut_by_splitlines() -> None:
    text = "a\u2028b\x85c\u2029d\x0be\x1cf\rg\nh"
    frame = event_of({"type": "t", "text": text})
    assert len(frame.decode().splitlines()) == 3
    assert json.loads(frame.decode().splitlines()[1][6:])["text"] == text


def line(**more: Any) -> LineRow:
    plain = LineRow(3, "c", None, ID, "one", None, None, 1, 1, None, None, [])
    return plain._replace(**more)


def test_lines_of_a_batch_are_what_their_requests_would_have_been_answered() -> None:
    refused = line_shape(
        "/v1/videos", line(job_id=None, error={"code": "invalid_input", "message": "no", "param": "n"}), None, None
    )
    assert refused["response"]["body"]["error"]["param"] == "n"
    canceled = line_shape("/v1/videos", line(ended="canceled"), job("canceled"), None)
    assert (canceled["response"], canceled["error"]["code"]) == (None, "batch_cancelled")
    failed = line_shape("/v1/videos", line(ended="failed"), job("failed", error_code="moderated"), None)
    assert (failed["response"]["status_code"], failed["error"]) == (400, None)
    for endpoint, key in (
        ("/v1/videos", "seconds"),
        ("/v1/chat/completions", "choices"),
        ("/v1/responses", "output"),
        ("/v1/images/edits", "data"),
    ):
        done = line_shape(endpoint, line(ended="succeeded"), job("succeeded", files=[FILE]), None)
        assert key in done["response"]["body"]
