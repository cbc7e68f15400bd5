"""What the Python client does with what a server says, without one."""

import asyncio
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import headrace_client
import httpx
import pytest
from headrace_client import AsyncHeadrace, Headrace, errors, models, verify_webhook
from headrace_client._frames import Frames, Lines
from standardwebhooks import Webhook

URL = "http://headrace.test"
KEY = "hr_a-key-that-is-secret"
CLIENT = Path(__file__).resolve().parents[2] / "clients/python"
JOB: dict[str, Any] = {
    "id": "01a1fd03-f4e4-7365-bf9d-4827335166ca", "status": "queued", "model": "m", "input": {}, "queue": "interactive",
    "labels": {}, "credits": {"reserved": 1, "charged": None}, "cancel_requested": False, "attempts": 0, "outputs": [],
    "created_at": "2026-11-21T00:00:00Z",
}  # fmt: skip
Said = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Script(httpx.BaseTransport):
    """Says one thing after the other, the last again and again, and keeps what was asked."""

    def __init__(self, *said: Said) -> None:
        self._said, self.asked = list(said), list[httpx.Request]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        what = self._said.pop(0) if len(self._said) > 1 else self._said[0]
        if isinstance(what, Exception):
            raise what
        return what(request) if callable(what) else what

    def client(self, **options: Any) -> Headrace:
        return Headrace(KEY, URL, http_client=httpx.Client(transport=self), **options)


def problem(status: int, code: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    body = {"type": f"urn:headrace:problem:{code}", "status": status, "code": code, "detail": "why", **more}
    return httpx.Response(status, json=body, headers=headers)


def job(**changes: Any) -> httpx.Response:
    return httpx.Response(200, json={**JOB, **changes})


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits; how long they would have is kept."""
    kept: list[float] = []
    for module in ("sending", "streams", "files", "jobs"):
        monkeypatch.setattr(f"headrace_client._sync.{module}.time", SimpleNamespace(sleep=kept.append))
    return kept


CUT = httpx.ReadError("cut")
NEVER_SENT = httpx.ConnectError("nobody listens")


def test_a_call_that_makes_something_keeps_its_key_over_retries(pauses: list[float]) -> None:
    script = Script(CUT, problem(503, "busy", {"retry-after": "2"}), httpx.ReadTimeout("late"), job())
    client = script.client()
    client.jobs.create(model="m", input={})
    keys = [request.headers["idempotency-key"] for request in script.asked]
    assert (len(keys), len(set(keys))) == (4, 1)
    assert pauses[1] >= 2
    client.jobs.create(model="m", input={})
    assert script.asked[-1].headers["idempotency-key"] != keys[0]
    client.jobs.create(model="m", input={}, idempotency_key="mine")
    assert script.asked[-1].headers["idempotency-key"] == "mine"
    assert len({request.content for request in script.asked}) == 1


def test_what_has_no_key_is_sent_again_only_where_it_did_not_arrive() -> None:
    script = Script(
        NEVER_SENT, NEVER_SENT, httpx.Response(201, json={"token": "t", "expires_at": "2026-11-21T00:00:00Z"})
    )
    assert script.client().events.create_stream_token().token == "t"
    lost = Script(CUT, httpx.Response(200))
    with pytest.raises(errors.ConnectionFailed, match="not known whether it was done"):
        lost.client().events.create_stream_token()
    assert len(lost.asked) == 1
    refused = Script(
        problem(503, "busy"), httpx.Response(201, json={"token": "t", "expires_at": "2026-11-21T00:00:00Z"})
    )
    refused.client().events.create_stream_token()
    assert len(refused.asked) == 2
    gateway = Script(httpx.Response(502), job())
    with pytest.raises(errors.ServerError):
        gateway.client().events.create_stream_token()


def test_a_change_of_one_version_is_not_repeated_blindly_and_others_are() -> None:
    script = Script(CUT, job())
    with pytest.raises(errors.ConnectionFailed):
        script.client().content.change_article(JOB["id"], if_match='"1"', title="t")
    again = Script(CUT, httpx.Response(200, json={}))
    with pytest.raises(errors.UnreadableAnswer):  # it came to the second answer
        again.client().webhooks.change(JOB["id"], enabled=True)
    assert len(again.asked) == 2


def test_a_delete_whose_answer_was_lost_is_done_when_nothing_is_there_any_more() -> None:
    script = Script(CUT, problem(404, "not_found"))
    script.client().webhooks.delete(JOB["id"])
    with pytest.raises(errors.NotFound):
        Script(problem(404, "not_found")).client().webhooks.delete(JOB["id"])


def test_patience_ends_and_then_the_refusal_is_told(pauses: list[float]) -> None:
    with pytest.raises(errors.RateLimited) as caught:
        Script(problem(429, "rate_limited", {"retry-after": "3600"})).client().credits.get()
    assert (caught.value.retry_after, pauses) == (3600, [])
    with pytest.raises(errors.ConnectionFailed, match="nobody listens"):
        Script(NEVER_SENT).client(patience_seconds=0).credits.get()


def test_pauses_grow_and_are_not_the_same_for_all(pauses: list[float]) -> None:
    for _ in range(4):
        Script(*[CUT] * 7, httpx.Response(200, json={"status": "ok"})).client(patience_seconds=1e9).health.get_health()
    runs = [pauses[at : at + 7] for at in range(0, 28, 7)]
    assert all(max(run) <= 8 and run[5] > run[0] for run in runs)
    assert len({run[0] for run in runs}) == 4


@pytest.mark.parametrize(("status", "code", "kind"), [
    (401, "not_authenticated", errors.AuthenticationError), (402, "not_enough_credits", errors.NotEnoughCredits),
    (402, "key_budget_exceeded", errors.PaymentRequired), (403, "forbidden", errors.PermissionDenied),
    (404, "unknown_model", errors.NotFound), (400, "job_already_ended", errors.Conflict), (412, "version_changed", errors.Conflict),
    (410, "result_gone", errors.Gone), (422, "invalid_input", errors.InvalidInput), (400, "invalid_request", errors.InvalidInput),
    (409, "anything", errors.Conflict), (500, "internal_error", errors.ServerError), (418, "new", errors.InvalidInput),
])  # fmt: skip
def test_a_refusal_is_an_error_of_its_class(status: int, code: str, kind: type[errors.Refused]) -> None:
    with pytest.raises(kind) as caught:
        Script(problem(status, code, param="input.width", request_id="r")).client().credits.get()
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.param, error.request_id, error.detail) == (
        status,
        code,
        "input.width",
        "r",
        "why",
    )


def test_a_refusal_for_want_of_credits_has_its_figures() -> None:
    with pytest.raises(errors.NotEnoughCredits) as caught:
        Script(problem(402, "not_enough_credits", needed=5, available=2, for_other_models=1)).client().jobs.run("m")
    assert (caught.value.needed, caught.value.available, caught.value.extra["for_other_models"]) == (5, 2, 1)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"'])
def test_a_refusal_of_somebody_else_is_an_error_too(body: bytes) -> None:
    with pytest.raises(errors.ServerError, match="status_500"):
        Script(httpx.Response(500, content=body)).client().credits.get()


def test_an_answer_that_is_not_as_described_says_where_and_quotes_nothing() -> None:
    secret = {**JOB, "credits": "a secret"}
    with pytest.raises(errors.UnreadableAnswer, match="credits") as caught:
        Script(httpx.Response(200, json=secret)).client().jobs.get(JOB["id"])
    assert "a secret" not in str(caught.value)


def test_what_a_later_release_adds_is_kept_and_no_error() -> None:
    found = Script(job(status="dreaming", colour="blue")).client().jobs.get(JOB["id"])
    assert found.status == "dreaming"
    assert found.model_extra == {"colour": "blue"}


def test_nothing_shows_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Script(CUT).client(patience_seconds=0)
    with pytest.raises(errors.ConnectionFailed) as caught:
        client.events.create_stream_token()
    shown = (
        repr(client) + str(client) + repr(client.jobs) + repr(client._sender) + str(caught.value) + repr(caught.value)
    )
    assert KEY not in shown
    for wrong in ("hr_with\nline", "hr with space", "hr_ü"):
        with pytest.raises(ValueError, match="characters") as refused:
            Headrace(wrong, URL)
        assert wrong not in str(refused.value)
    monkeypatch.delenv("HEADRACE_API_KEY", raising=False)
    with pytest.raises(ValueError, match="HEADRACE_API_KEY"):
        Headrace()
    with pytest.raises(ValueError, match="http"):
        Headrace(KEY, "headrace.test")


def test_the_environment_says_what_nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_API_KEY", "from-there")
    monkeypatch.setenv("HEADRACE_URL", "https://there.test/")
    script = Script(job())
    Headrace(http_client=httpx.Client(transport=script)).jobs.get("an/id")
    assert script.asked[0].headers["authorization"] == "Bearer from-there"
    assert str(script.asked[0].url) == "https://there.test/v1/jobs/an%2Fid"
    for nowhere in ("", ".", ".."):
        with pytest.raises(ValueError, match="job_id"):
            Headrace(http_client=httpx.Client(transport=script)).jobs.get(nowhere)


def test_acting_for_a_user_is_said_with_each_call_and_by_nobody_else() -> None:
    script = Script(job())
    client = script.client()
    client.acting_for("clerk:user_1", create=True).jobs.get("id")
    client.acting_for("clerk:user_2").jobs.get("id")
    client.jobs.get("id")
    said = [(each.headers.get("headrace-account"), each.headers.get("headrace-create")) for each in script.asked]
    assert said == [("clerk:user_1", "true"), ("clerk:user_2", None), (None, None)]


def test_what_is_left_out_is_not_sent_and_what_is_none_is_null() -> None:
    script = Script(httpx.Response(200, json={}))
    with pytest.raises(errors.UnreadableAnswer):
        script.client().jobs.create(model="m", input={"a": None}, labels=None)
    assert json.loads(script.asked[0].content) == {"model": "m", "input": {"a": None}, "labels": None}
    page = httpx.Response(200, json={"data": [], "next": None})
    listed = Script(page)
    assert list(listed.client().jobs.list(status="failed", limit=3)) == []
    assert dict(listed.asked[0].url.params) == {"status": "failed", "limit": "3"}


def test_a_list_goes_on_over_its_pages() -> None:
    pages = [httpx.Response(200, json={"data": [{**JOB, "id": name}], "next": after}) for name, after in
             (("a", "c1"), ("b", "c2"), ("c", None))]  # fmt: skip
    script = Script(*pages)
    assert [each.id for each in script.client().jobs.list(limit=1)] == ["a", "b", "c"]
    assert [each.url.params.get("cursor") for each in script.asked] == [None, "c1", "c2"]
    assert {each.url.params["limit"] for each in script.asked} == {"1"}
    assert Script(*pages).client().jobs.list().first().next == "c1"
    assert [page.next for page in Script(*pages).client().jobs.list().pages()] == ["c1", "c2", None]


def frame(kind: str, number: int | None, data: dict[str, Any] | None = None) -> bytes:
    body = {"number": number, "type": kind, "job_id": JOB["id"], "created_at": None, "data": data or {}}
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {kind}\ndata: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


def test_events_are_the_same_however_their_bytes_are_cut() -> None:
    odd = {"text": "one\u2028two\x85three\u000bfour ü"}
    raw = (
        b": hello\n\n"
        + frame("job", 1, odd)
        + b":\n\n"
        + frame("job.progress", None).replace(b"\n", b"\r\n")
        + frame("x", 2)[:-1]
    )
    whole = list(Frames().feed(raw))
    assert [(each.number, each.type) for each in whole] == [(1, "job"), (None, "job.progress")]
    assert whole[0].data == odd
    for size in (1, 2, 3, 7):
        cut = Frames()
        found = [event for at in range(0, len(raw), size) for event in cut.feed(raw[at : at + size])]
        assert found == whole
    lines = Lines()
    assert [*lines.feed(b"a\nb"), *lines.end()] == [b"a", b"b"]


def stream(*frames: bytes, then: Exception | None = None) -> Callable[[httpx.Request], httpx.Response]:
    def parts() -> Iterator[bytes]:
        yield from frames
        if then is not None:
            raise then

    return lambda _: httpx.Response(200, stream=Parts(parts()))


class Parts(httpx.SyncByteStream):
    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return self._parts


def test_a_stream_goes_on_after_cuts_and_clean_ends_with_the_last_number_it_has_seen() -> None:
    script = Script(
        stream(frame("job", 4), frame("job.running", None), then=CUT),
        NEVER_SENT,
        stream(frame("job.output", 5)),  # the server stops: it ends its streams cleanly
        problem(503, "unavailable"),
        stream(frame("job.succeeded", 6), frame("never", 7)),
    )
    heard = [event.type for event in script.client().jobs.stream(JOB["id"])]
    assert heard == ["job", "job.running", "job.output", "job.succeeded"]
    assert [each.headers.get("last-event-id") for each in script.asked] == [None, "4", "4", "5", "5"]


def test_the_results_of_a_batch_go_on_after_the_last_line_that_came() -> None:
    first, second = (json.dumps({"number": number, "status": "succeeded"}).encode() + b"\n" for number in (1, 2))
    script = Script(stream(first, second[:5], then=CUT), stream(second))
    assert [each.number for each in script.client().batches.results("b")] == [1, 2]
    assert [each.url.params.get("after") for each in script.asked] == [None, "1"]
    with pytest.raises(errors.ConnectionFailed):
        list(Script(CUT).client().batches.results("b"))


def test_a_stream_ends_with_204_and_is_not_resumed_where_it_may_not_be() -> None:
    assert list(Script(httpx.Response(204)).client().jobs.stream("id", after=9)) == []
    with pytest.raises(errors.AuthenticationError):
        list(Script(stream(frame("job", 1)), problem(401, "not_authenticated")).client().jobs.stream("id"))
    with pytest.raises(errors.ConnectionFailed):
        list(Script(NEVER_SENT).client(patience_seconds=0).events.stream())


def test_who_may_open_no_stream_asks_now_and_then(pauses: list[float]) -> None:
    script = Script(
        job(),
        problem(429, "too_many_listeners"),
        job(status="running"),
        problem(429, "too_many_listeners"),
        job(status="succeeded"),
    )
    assert script.client().jobs.run("m", prompt="x").status == "succeeded"
    assert len(pauses) == 1
    asks = Script(job(), job(status="running"), job(status="succeeded"))
    assert asks.client(streams_at_once=0).jobs.run("m").status == "succeeded"
    assert [each.url.path.endswith("/events") for each in asks.asked] == [False] * 3


@pytest.mark.parametrize(("status", "kind"), [("failed", errors.JobFailed), ("canceled", errors.JobCanceled)])
def test_a_job_that_does_not_succeed_is_an_error_that_has_it(status: str, kind: type[errors.JobFailed]) -> None:
    ended = job(status=status, error={"code": "moderated", "message": "no"})
    with pytest.raises(kind, match="moderated: no") as caught:
        Script(job(), stream(frame(f"job.{status}", 2)), ended).client().jobs.run("m", prompt="x")
    assert caught.value.job.error is not None
    assert Script(stream(frame(f"job.{status}", 2)), ended).client().jobs.wait("id").status == status


def test_a_wait_that_takes_too_long_says_so_and_names_the_job() -> None:
    with pytest.raises(errors.WaitedTooLong) as caught:
        Script(job()).client().jobs.wait(JOB["id"], timeout=0)
    assert caught.value.job_id == JOB["id"]


FILE = {
    "id": "file_1", "object": "file", "media_type": "image/png", "size_bytes": 3, "sha256": "x", "url": "/files/x",
    "created_at": "2026-11-21T00:00:00Z", "expires_at": "2026-11-21T00:00:00Z",
}  # fmt: skip


def test_files_among_the_values_are_uploaded_first_at_whatever_depth(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"from a path")
    uploads = [httpx.Response(201, json={**FILE, "id": f"file_{number}"}) for number in (1, 2, 3)]
    script = Script(*uploads, job())
    values = {"image": path, "more": [{"mask": b"from memory"}, io.BytesIO(b"from a file")], "prompt": "x"}
    script.client().jobs.submit("editor", values)
    sent = [each.content for each in script.asked]
    assert [b"from a path" in sent[0], b"from memory" in sent[1], b"from a file" in sent[2]] == [True] * 3
    want = {"image": "file_1", "more": [{"mask": "file_2"}, "file_3"], "prompt": "x"}
    assert json.loads(sent[3])["input"] == want
    assert values["image"] == path


def test_an_upload_begins_anew_where_its_file_can(tmp_path: Path) -> None:
    handle = io.BytesIO(b"skipped, sent")
    handle.seek(9)
    script = Script(CUT, problem(429, "too_many_uploads"), httpx.Response(201, json=FILE))
    script.client().files.upload(handle)
    assert [b"sent" in each.content and b"skipped" not in each.content for each in script.asked] == [True] * 3
    reading, writing = os.pipe()
    with open(writing, "wb") as sink:
        sink.write(b"through a pipe")
    with open(reading, "rb") as pipe, pytest.raises(errors.ConnectionFailed):
        Script(CUT).client().files.upload(pipe)
    with pytest.raises(TypeError, match="bytes"):
        Script(CUT).client().files.upload(io.StringIO("text"))  # type: ignore[arg-type]  # that is what is tried


CONTENT = os.urandom(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def served(*, cut_after: int | None = None, content: bytes = CONTENT) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        begin = int(request.headers.get("range", "bytes=0-")[6:-1])
        part = content[begin:]
        if begin >= len(content):
            return httpx.Response(416)
        end = None if cut_after is None else CUT
        said = stream(part[:cut_after], then=end)(request)
        return httpx.Response(206 if begin else 200, stream=said.stream, headers={"etag": f'"{DIGEST}"'})

    return answer


def output() -> models.Output:
    return models.Output.model_validate(
        {"id": JOB["id"], "url": "https://cdn.test/files/x", "media_type": "image/png", "size_bytes": len(CONTENT),
         "sha256": DIGEST, "status": "stored", "kept": False}
    )  # fmt: skip


def test_a_download_goes_on_where_it_broke_off_and_sends_no_key(tmp_path: Path) -> None:
    script = Script(served(cut_after=100_000), NEVER_SENT, served(cut_after=50_000), served())
    path = script.client().files.download(output(), tmp_path / "a.png")
    assert path.read_bytes() == CONTENT
    assert [each.headers.get("range") for each in script.asked] == [
        None,
        "bytes=100000-",
        "bytes=100000-",
        "bytes=150000-",
    ]
    assert all("authorization" not in each.headers and each.url.host == "cdn.test" for each in script.asked)
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]
    assert Script(served()).client().files.read(output()) == CONTENT


def test_a_download_goes_on_in_another_run_and_not_with_the_bytes_of_something_else(tmp_path: Path) -> None:
    path, part = tmp_path / "a", tmp_path / "a.part"
    with pytest.raises(errors.ConnectionFailed):
        Script(served(cut_after=1000), NEVER_SENT).client(patience_seconds=0).files.download(output(), path)
    assert (part.read_bytes(), path.exists()) == (CONTENT[:1000], False)
    script = Script(served())
    script.client().files.download(output(), path)
    assert script.asked[0].headers["range"] == "bytes=1000-"
    part.write_bytes(b"something else")
    again = Script(served())
    again.client().files.download(output(), path)
    assert (path.read_bytes(), len(again.asked)) == (CONTENT, 2)
    part.write_bytes(CONTENT)  # all of it, but for its name
    Script(served()).client().files.download(output(), path)
    part.write_bytes(b"x" * 10)
    ignores_ranges = Script(lambda _: httpx.Response(200, stream=httpx.ByteStream(CONTENT)))
    assert ignores_ranges.client().files.download(output(), path).read_bytes() == CONTENT


def test_a_download_that_is_not_what_the_server_has_leaves_nothing(tmp_path: Path) -> None:
    other = Script(served(content=b"broken on the way"))
    with pytest.raises(errors.ChecksumMismatch):
        other.client().files.download(output(), tmp_path / "a.png")
    with pytest.raises(errors.ChecksumMismatch):  # an address alone: by the server's own tag
        other.client().files.read("/files/x")
    with pytest.raises(errors.Gone):
        Script(problem(410, "result_gone")).client().files.download(output(), tmp_path / "b.png")
    assert [each.name for each in tmp_path.iterdir() if each.stat().st_size] == []


def test_a_finished_job_has_its_pictures_and_saves_them(tmp_path: Path) -> None:
    one = output().model_dump(mode="json")
    ended = job(status="succeeded", outputs=[one, {**one, "media_type": "text/plain; charset=utf-8"}])
    done = Script(ended).client().jobs.wait("id", timeout=0)
    with pytest.raises(ValueError, match="text/plain"):
        done.image(1)
    with pytest.raises(ValueError, match="2 results"):
        done.image(2)
    script = Script(ended, served())
    saved = script.client().jobs.wait("id", timeout=0).save(tmp_path / "new")
    assert [each.name for each in saved] == [f"{JOB['id']}-0.png", f"{JOB['id']}-1.txt"]
    assert saved[0].read_bytes() == CONTENT


SECRET = "whsec_" + "c2VjcmV0IHRoYXQgaXMgbG9uZyBlbm91Z2g="


def signed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    import datetime as dt

    when = dt.datetime.fromtimestamp(at if at is not None else time.time()).astimezone()
    signature = Webhook(secret).sign("msg_1", when, body.decode())
    return {
        "Webhook-Id": "msg_1",
        "webhook-timestamp": str(int(when.timestamp())),
        "webhook-signature": f"v1a,x {signature}",
    }


def test_a_webhook_is_believed_where_its_signature_fits_and_is_new() -> None:
    body = b'{"type": "job.succeeded", "timestamp": "2026-11-21T11:35:35Z", "data": {"number": 42, "new": 1}}'
    event = verify_webhook(signed(body), body, SECRET)
    assert (event.id, event.type, event.data["number"]) == ("msg_1", "job.succeeded", 42)
    assert verify_webhook(signed(body), body.decode(), ["whsec_b3RoZXIgc2VjcmV0", SECRET]).id == "msg_1"
    wrong = [
        (signed(body), body + b" "), (signed(body, secret="whsec_b3RoZXIgc2VjcmV0"), body),
        (signed(body, at=time.time() - 301), body), (signed(body, at=time.time() + 301), body),
        ({**signed(body), "Webhook-Id": "msg_2"}, body), ({}, body), ({**signed(body), "webhook-timestamp": "soon"}, body),
        ({**signed(body), "webhook-signature": "v1,ü v1 v1,"}, body), (signed(b"[1]"), b"[1]"),
    ]  # fmt: skip
    for headers, said in wrong:
        with pytest.raises(errors.BadSignature):
            verify_webhook(headers, said, SECRET)
    with pytest.raises(ValueError, match="whsec_") as caught:
        verify_webhook(signed(body), body, "hunter2!")
    assert "hunter2" not in str(caught.value)


def test_the_client_that_waits_does_the_same() -> None:
    asked: list[httpx.Request] = []
    script = iter([CUT, job(), job(status="succeeded", outputs=[output().model_dump(mode="json")]), served()])

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        what = next(script)
        if isinstance(what, Exception):
            raise what
        return httpx.Response(200, content=CONTENT) if callable(what) else what

    async def run() -> bytes:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            client = AsyncHeadrace(KEY, URL, http_client=http, streams_at_once=0)
            done = await client.jobs.run("m", prompt="x")
            return await done.image()

    assert asyncio.run(run()) == CONTENT
    assert asked[0].headers["idempotency-key"] == asked[1].headers["idempotency-key"]


def test_help_shows_a_picture_of_use() -> None:
    said = headrace_client.Headrace.__init__.__doc__, headrace_client._sync.jobs.Jobs.run.__doc__
    assert 'client.jobs.run("sketch-image", prompt="a harbour at dawn"' in str(said[1])
    assert "await" not in str(said[1])
    assert "queued ──▶ running" in str(said[1])


def test_it_builds_and_is_typed(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
    ]
    import shutil
    import zipfile

    shutil.copytree(CLIENT, tmp_path / "python", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    subprocess.run([*command, str(tmp_path / "python")], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"headrace_client/py.typed", "headrace_client/_sync/routes/jobs.py", "headrace_client/models.py"} <= set(
        names
    )
    assert not [name for name in names if name.startswith(("making", "typed_uses"))]
