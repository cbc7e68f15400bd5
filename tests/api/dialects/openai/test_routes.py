"""The dialect over HTTP, without a library: whatever a client sends is answered in its shape, and other accounts see nothing."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.files import picture
from tests.support import System, account, assert_books_are_clean, balance, eventually, model, one, order, place

BASE = "/compat/openai/v1"
FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.fixture
def api(system: System) -> Iterator[System]:
    """An API without workers: what is ordered stays queued."""
    model("picture")
    model("film", kind="video")
    model("text", kind="text")
    system.start("api", api={"PREFER_WAIT_SECONDS": "1"})
    yield system
    assert_books_are_clean()


def test_whatever_is_sent_is_refused_in_the_shape_of_the_dialect(api: System) -> None:
    me = account(amount=50)
    with api.client(me) as client:
        for method, path, sent in (
            ("POST", "/images/generations", {"content": b"{"}), ("POST", "/images/generations", {"content": b"[]"}), ("POST", "/images/generations", {"json": {}}),
            ("POST", "/images/generations", {"json": {"model": 7}}), ("POST", "/images/generations", {"json": {"model": "picture", "n": {}}}),
            ("POST", "/images/generations", {"json": {"model": "picture", "size": []}}), ("POST", "/images/generations", {"json": {"model": "picture", "response_format": {}}}),
            ("POST", "/images/generations", {"json": {"model": "picture", "prompt": 7, "n": 1e300}}),
            ("POST", "/images/edits", {"json": {"model": "picture", "image": 7}}), ("POST", "/images/edits", {"data": {"model": "picture"}, "files": {"odd": b"x"}}),
            ("POST", "/images/edits", {"content": b"--x\r\nbroken", "headers": FORM}), ("POST", "/images/edits", {"data": {"model": "picture"}, "files": {"image": picture()}}),
            ("POST", "/videos", {"content": b"nothing", "headers": FORM}), ("POST", "/videos", {"json": {"model": "film", "input_reference": []}}),
            ("POST", "/videos", {"json": {"model": "text"}}), ("POST", "/audio/speech", {"json": {"model": "text", "voice": [], "input": {}}}),
            ("POST", "/audio/speech", {"json": {"stream_format": []}}), ("POST", "/chat/completions", {"json": {"model": "text", "messages": {"a": 1}}}),
            ("POST", "/chat/completions", {"json": {"model": "text", "messages": [{"role": {}, "content": {}}]}}), ("POST", "/responses", {"json": {"model": "text", "input": 7}}),
            ("POST", "/responses", {"json": {"model": "text", "input": "x", "background": "yes"}}), ("POST", "/files", {"json": {}}), ("POST", "/files", {"data": {"purpose": "x"}, "files": {"file": b"x"}}),
            ("POST", "/files", {"data": {"purpose": "batch"}, "files": {"file": b""}}), ("POST", "/batches", {"json": {"input_file_id": "file_x", "endpoint": "/v1/videos", "completion_window": "24h"}}),
            ("POST", "/batches", {"json": {"input_file_id": 1}}), ("GET", "/videos/nothing", {}), ("GET", "/videos?limit=0", {}), ("GET", "/videos?limit=x", {}), ("GET", "/videos?after=x", {}),
            ("GET", "/videos?order=up", {}), ("GET", "/files/nothing", {}), ("GET", "/files/file_out_" + "0" * 32, {}), ("GET", "/files?purpose=x", {}), ("GET", "/batches/batch_", {}),
            ("POST", "/batches/" + "0" * 32 + "/cancel", {}), ("GET", "/responses/resp_" + "0" * 32, {}), ("DELETE", "/responses/x", {}), ("GET", "/models/nothing/at/all", {}),
            ("PUT", "/models", {}), ("POST", "/videos/x/remix", {"json": {}}), ("POST", "/embeddings", {"json": {}}), ("GET", "/", {}),
        ):  # fmt: skip
            got = client.request(method, BASE + path, **sent)  # type: ignore[arg-type]  # several kinds
            error = got.json()["error"]
            assert 400 <= got.status_code < 500, (path, sent, got.text)
            assert set(error) >= {"message", "type", "param", "code"}, (path, got.text)
            assert got.headers["x-should-retry"] == "false", (path, got.text)
    assert (one("select count(*) from jobs"), balance(me)) == ((0,), (50, 0))


def test_others_see_nothing_and_a_name_of_another_kind_names_nothing(api: System) -> None:
    mine, other = account(amount=50), account(amount=50)
    with api.client(mine) as me, api.client(other) as stranger:
        film = me.post(f"{BASE}/videos", json={"model": "film", "prompt": "x"}).json()
        assert (film["status"], film["object"]) == ("queued", "video")
        job = film["id"].removeprefix("video_")
        for who, method, path in (
            (stranger, "GET", f"/videos/{film['id']}"), (stranger, "DELETE", f"/videos/{film['id']}"), (stranger, "GET", f"/videos/{film['id']}/content"),
            (me, "GET", f"/responses/resp_{job}"), (me, "POST", f"/responses/resp_{job}/cancel"), (me, "DELETE", f"/responses/resp_{job}"),
        ):  # fmt: skip
            assert who.request(method, BASE + path).status_code == 404
        assert stranger.get(f"{BASE}/videos").json()["data"] == []
        waits = me.get(f"{BASE}/videos/{film['id']}/content")
        assert (waits.status_code, waits.json()["error"]["code"]) == (400, "video_not_ready")
        assert 500 <= int(me.get(f"{BASE}/videos/{film['id']}").headers["openai-poll-after-ms"]) <= 5000
        assert me.delete(f"{BASE}/videos/{film['id']}").json()["deleted"]
        assert me.get(f"{BASE}/videos/{film['id']}").json()["error"]["code"] == "canceled"
    assert balance(mine) == (50, 0)


def test_a_form_sent_again_is_the_first_ones_job_and_its_files_are_stored_once(api: System) -> None:
    model("editor", input_schema={
        "type": "object", "additionalProperties": False,
        "properties": {"prompt": {"type": "string"}, "image": {"type": "string", "format": "image"}},
    })  # fmt: skip
    me = account(amount=50)
    with api.client(me) as client:
        eventually(lambda: client.get(f"{BASE}/models/editor").status_code == 200)
        for count in ("0", "1", "2"):
            got = client.post(
                f"{BASE}/images/edits", data={"model": "editor", "prompt": "x"}, files={"image": ("a.png", picture())},
                headers={"x-stainless-retry-count": count},
            )  # fmt: skip
            error = got.json()["error"]
            assert (got.status_code, error["code"], got.headers["x-should-retry"]) == (504, "still_running", "false")
            assert got.headers.get("idempotent-replayed") == (None if count == "0" else "true")
            assert error["job_id"] == str(one("select id from jobs")[0])
        named = [
            client.post(
                f"{BASE}/videos", json={"model": "film", "prompt": "x"}, headers={"idempotency-key": "mine"}
            ).json()["id"]
            for _ in range(2)
        ]
    assert named[0] == named[1]
    assert one("select count(*) from uploads") == (1,)
    assert one("select count(*) from jobs") == (2,)


def test_a_stream_that_cannot_be_waited_for_pings_and_its_reader_may_go(api: System) -> None:
    with api.client(account(amount=50)) as client:
        body = {"model": "picture", "prompt": "x", "stream": True}
        with client.stream("POST", f"{BASE}/images/generations", json=body, timeout=httpx.Timeout(60)) as streamed:
            assert streamed.headers["content-type"].startswith("text/event-stream")
            assert next(streamed.iter_bytes()).startswith(b": ping\n\n")
    assert one("select count(*) from jobs") == (1,)


def test_a_list_shows_all_and_pages_in_both_orders(api: System) -> None:
    me = account(amount=50)
    offer = model("film", kind="video")
    place(*[order(me, offer) for _ in range(5)])
    with api.client(me) as client:
        for direction in ("asc", "desc"):
            found, after = list[str](), ""
            while True:
                page = client.get(f"{BASE}/videos", params={"limit": 2, "order": direction, "after": after}).json()
                found += [each["id"] for each in page["data"]]
                after = page["last_id"]
                if not page["has_more"]:
                    break
            assert len(found) == len(set(found)) == 5
            assert found == sorted(found, reverse=direction == "desc")


def test_a_batch_sent_again_by_the_library_is_one_and_ordered_again_another(api: System) -> None:
    line = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/images/generations",
        "body": {"model": "picture", "prompt": "x"},
    }
    with api.client(account(amount=50)) as client:
        sent = client.post(
            f"{BASE}/files", data={"purpose": "batch"}, files={"file": ("lines.jsonl", json.dumps(line).encode())}
        ).json()
        asked = {"input_file_id": sent["id"], "endpoint": "/v1/images/generations", "completion_window": "24h"}

        def ordered(count: str) -> str:
            found = client.post(f"{BASE}/batches", json=asked, headers={"x-stainless-retry-count": count})
            assert found.status_code == 200, found.text
            return str(found.json()["id"])

        first = ordered("0")
        assert {ordered("1"), ordered("2")} == {first}
        second = ordered("0")  # on purpose: its sender does not say that it was sent before
        assert second != first
        assert ordered("1") == second
        for field, body in (
            ("files", None),
            ("batches", {**asked, "output_expires_after": {"anchor": "created_at", "seconds": 9}}),
        ):
            refused = (
                client.post(
                    f"{BASE}/files", data={"purpose": "batch", "expires_after[seconds]": "9"}, files={"file": b"{}"}
                )
                if body is None
                else client.post(f"{BASE}/{field}", json=body)
            )
            assert (refused.status_code, "expires_after" in refused.json()["error"]["param"]) == (400, True)
    assert one("select count(*) from jobs") == (2,)
