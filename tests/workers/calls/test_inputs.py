"""A job's files are there, checked, before its provider is asked; what cannot be used says why, and whether again helps."""

import gzip
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from cli.embedded.servers import Addresses
from models.db import transaction
from models.files import uploads
from storage import keys
from storage.s3 import storage
from tests.common.far import Far, dripping, far, moved, ok
from tests.conftest import environment
from tests.files import huge_png, picture
from tests.storage.between import between_us_and
from tests.support import SCHEMA, account, claimed, model, placed, uploaded
from workers.calls.inputs import UnusableInput, gather, plain

pytestmark = pytest.mark.usefixtures("database")

FILES = {
    "photo": {"type": "string", "format": "image"},
    "voice": {"type": "string", "format": "audio"},
    "other": {"type": "string", "format": "file"},
}


def claim_of(who, **values: object):
    offer = model("with-photo", input_schema={**SCHEMA, "properties": {**SCHEMA["properties"], **FILES}})
    return claimed(placed(who, offer, values))


@pytest.fixture
def who():
    with transaction() as conn:
        conn.execute("update plans set slots = 20")  # so that every job of a test can be claimed
    return account(amount=50)


def allowed(*servers: Far):
    return environment({"ALLOW_PRIVATE_ADDRESSES": ",".join(server.place for server in servers)})


def refusal(claim, **options: object) -> UnusableInput:
    with pytest.raises(UnusableInput) as caught:
        gather(claim, **options)
    assert not storage().list_page(f"{keys.INPUTS}{claim.account_id}/", None, 10), "nothing was stored"
    return caught.value


def test_a_job_without_files_has_none(who) -> None:
    assert gather(claim_of(who, prompt="http://127.0.0.1/")) == {}


def test_uploads_are_read_where_they_lie_and_as_often_as_wanted(who) -> None:
    data = picture()
    made = uploaded(who, [data])
    claim = claim_of(who, photo=uploads.id_text(made.id), other=str(made.id), prompt="x")
    files = gather(claim)
    assert set(files) == {"photo", "other"}
    for file in files.values():
        assert (file.media_type, file.size_bytes) == ("image/png", len(data))
        assert b"".join(file.chunks()) == b"".join(file.chunks()) == data
    assert files["photo"].data_uri().startswith("data:image/png;base64,iVBOR")
    assert "photo" not in plain(claim.input, files)
    assert plain(claim.input, files)["prompt"] == "x"


def test_an_address_is_fetched_once_for_all_steps_of_a_job(who) -> None:
    data = picture("JPEG")
    with far(ok(data, "Content-Type: text/html")) as server, allowed(server):
        claim = claim_of(who, photo=f"{server.url}/a.png")
        first, second = gather(claim)["photo"], gather(claim)["photo"]
        assert len(server.heads) == 1
    assert (first.media_type, first.size_bytes) == (second.media_type, second.size_bytes) == ("image/jpeg", len(data))
    assert b"".join(first.chunks()) == b"".join(second.chunks()) == data
    key = keys.input_key(claim.account_id, claim.job_id, "photo")
    assert storage().head(key).media_type == "image/jpeg"


def test_a_picture_that_its_server_packed_is_the_picture(who) -> None:
    data = picture()
    with far(ok(gzip.compress(data), "Content-Encoding: gzip")) as server, allowed(server):
        file = gather(claim_of(who, photo=server.url))["photo"]
    assert (file.media_type, b"".join(file.chunks())) == ("image/png", data)


def test_a_refused_input_tells_nothing_of_what_lies_at_its_address(who) -> None:
    with far(ok(b"the password is 12345")) as server, allowed(server):
        error = refusal(claim_of(who, photo=server.url))
    assert error.code == "unknown_file"
    assert "password" not in error.message


def test_a_name_that_has_turned_private_since_the_submit_is_refused(who) -> None:
    claim = claim_of(who, photo="http://photos.example/a.png")
    error = refusal(claim, resolve=lambda _host, _port: ["93.184.216.34", "10.0.0.1"])
    assert (error.code, error.retryable, error.field) == ("unreachable", True, "photo")  # as a name that is not there
    assert "10.0.0.1" not in error.message


def test_a_redirect_inside_is_refused(who) -> None:
    with far(ok(picture())) as inside, far(moved(inside.url)) as server, allowed(server):
        error = refusal(claim_of(who, photo=server.url))
        assert (error.code, error.retryable) == ("refused_address", False)
        assert inside.heads == []


@pytest.mark.parametrize(("answer", "code", "retryable"), [
    (ok(b"<html></html>"), "unknown_file", False), (ok(b"plain"), "unknown_file", False), (ok(b""), "empty_file", False),
    (ok(picture()[:60]), "broken_file", False), (ok(huge_png()), "file_too_large", False),
    (ok(b"x", status="404 Not UploadRow"), "bad_status", False), (ok(b"x", status="503 Busy"), "bad_status", True),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n", "too_large", False),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nshort", "unreachable", True), (b"", "unreachable", True),
    (ok(gzip.compress(bytes(60_000_000)), "Content-Encoding: gzip"), "too_large", False), (ok(picture(), "Content-Encoding: br"), "bad_encoding", False),
    (ok(b'<svg width="9" height="9"/>'), "unknown_file", False), (ok(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)), "unknown_file", False),
    (dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.05), "too_slow", True),
])  # fmt: skip
def test_what_cannot_be_fetched_or_used_says_why_and_whether_to_try_again(
    who, answer, code: str, retryable: bool
) -> None:
    with far(answer) as server, allowed(server), environment({"INPUT_SECONDS": "0.9"}):
        error = refusal(claim_of(who, photo=server.url))
    assert (error.code, error.retryable, error.field) == (code, retryable, "photo")
    assert "input.photo" in error.message


def test_a_body_without_a_length_ends_at_the_limit(who) -> None:
    def endless(server: Far, _path, send) -> None:
        send(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.closing.is_set():
            send(bytes(65536))

    with far(endless) as server, allowed(server), environment({"MAX_UPLOAD_BYTES": "1000000"}):
        assert refusal(claim_of(who, photo=server.url)).code == "too_large"


def test_a_picture_is_no_voice(who) -> None:
    made = uploaded(who, [picture()])
    assert refusal(claim_of(who, voice=uploads.id_text(made.id))).code == "unwanted_file"
    with far(ok(picture())) as server, allowed(server):
        with pytest.raises(UnusableInput) as caught:
            gather(claim_of(who, voice=server.url))
    assert (caught.value.code, caught.value.field) == ("unwanted_file", "voice")


def test_an_upload_that_is_not_there_is_gone(who) -> None:
    made = uploaded(who, [picture()])
    foreign = uploaded(account(), [picture()])
    expired = uploaded(who, [picture(colour="blue")])
    with transaction() as conn:
        uploads.delete(conn, who, made.id)
        conn.execute("update uploads set expires_at = app_now() where id = %s", [expired.id])
        uploads.expire(conn, 10)
    for upload_id in (made.id, foreign.id, uuid4(), uuid7()):
        error = refusal(claim_of(who, photo=uploads.id_text(upload_id)))
        assert (error.code, error.retryable) == ("file_gone", False)
    assert gather(claim_of(who, photo=uploads.id_text(expired.id))), "until its object is deleted, a waiting job has it"
    storage().delete_many([expired.key])
    assert refusal(claim_of(who, photo=uploads.id_text(expired.id))).code == "file_gone"


def test_a_fetch_that_nobody_waits_for_any_more_ends(who) -> None:
    with far(dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.05)) as server, allowed(server):
        assert refusal(claim_of(who, photo=server.url), lost=lambda: True).code == "canceled"


def test_storage_that_is_away_is_worth_another_try(who) -> None:
    made = uploaded(who, [picture()])
    claim = claim_of(who, photo=uploads.id_text(made.id))
    with environment({"S3_ENDPOINT_URL": "http://127.0.0.1:1"}), pytest.raises(UnusableInput) as caught:
        gather(claim)
    assert (caught.value.code, caught.value.retryable) == ("storage_failed", True)


def test_an_input_that_s3_hurts_or_loses_is_fetched_again_by_the_next_step(who, stack: Addresses) -> None:
    with far(ok(picture())) as server, between_us_and(stack.s3_endpoint_url) as line:
        with environment({"S3_ENDPOINT_URL": line.url, "ALLOW_PRIVATE_ADDRESSES": server.place}):
            claim = claim_of(who, photo=server.url)
            for wrong in ("hurt", "short", "lost"):
                line.be(wrong)
                error = refusal(claim)
                assert (error.code, error.retryable) == ("storage_failed", True)
            line.be("")
            assert b"".join(gather(claim)["photo"].chunks()) == picture()
            assert len(server.heads) == 4
