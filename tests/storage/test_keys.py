"""Names of objects go there and back, and foreign names are left alone."""

import hashlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import keys

TOKENS = st.integers(0, 10**18 - 1)
INDEXES = st.integers(0, 10**5 - 1)
EXTENSIONS = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
ACCOUNT, JOB = UUID(int=1), UUID(int=2)
SHA256 = hashlib.sha256(b"a result").digest()


@given(st.uuids(), st.uuids(), TOKENS, INDEXES, st.binary(min_size=32, max_size=32), EXTENSIONS, st.booleans())
def test_a_key_made_from_parts_gives_the_parts_back(
    account: UUID, job: UUID, attempt: int, index: int, sha256: bytes, extension: str, thumbnail: bool
) -> None:
    make = keys.thumbnail_key if thumbnail else keys.result_key
    key = make(account, job, attempt, index, sha256, extension)
    assert key.startswith(keys.RESULTS)
    assert keys.parse(key) == (account, job, attempt, index, sha256.hex()[:32], thumbnail, extension)


def again(parts: keys.ResultKey) -> str:
    """The key that has these parts."""
    if parts.digest is None:  # of before version 0.2
        small = ".thumbnail" if parts.thumbnail else ""
        place = f"{keys.RESULTS}{parts.account_id}/{parts.job_id}"
        return f"{place}/{parts.attempt}-{parts.number}{small}.{parts.extension}"
    make = keys.thumbnail_key if parts.thumbnail else keys.result_key
    sha256 = bytes.fromhex(parts.digest) + bytes(16)
    return make(parts.account_id, parts.job_id, parts.attempt, parts.number, sha256, parts.extension)


@given(st.text())
def test_whatever_parses_is_a_key_that_we_would_make(key: str) -> None:
    parts = keys.parse(key)
    if parts is not None:
        assert again(parts) == key


@given(st.data())
def test_one_character_changed_gives_none_or_a_key_that_says_so(data: st.DataObject) -> None:
    key = data.draw(
        st.sampled_from([keys.result_key(ACCOUNT, JOB, 7, 0, SHA256, "png"), f"results/{ACCOUNT}/{JOB}/7-0.png"])
    )
    at = data.draw(st.integers(0, len(key) - 1))
    changed = key[:at] + data.draw(st.characters(codec="utf-8")) + key[at + 1 :]
    parts = keys.parse(changed)
    if parts is not None:
        assert again(parts) == changed


def test_a_result_and_its_thumbnail_and_every_attempt_and_content_lie_apart() -> None:
    made = {
        make(ACCOUNT, JOB, attempt, index, content, "webp")
        for make in (keys.result_key, keys.thumbnail_key)
        for attempt in (1, 2, 11)
        for index in (0, 1, 11)
        for content in (SHA256, bytes(32))
    }
    assert len(made) == 36


@pytest.mark.parametrize(
    "key",
    [
        "",
        "results/",
        "results/x",
        "results/../../etc",
        "other/" + "0" * 36,
        f"results/{ACCOUNT}/{JOB}/7-0",
        f"results/{ACCOUNT}/{JOB}/7-0.",
        f"results/{ACCOUNT}/{JOB}/7.png",
        f"results/{ACCOUNT}/{JOB}/-7-0.png",
        f"results/{ACCOUNT}/{JOB}/7-0.png\n",
        f"results/{ACCOUNT}/{JOB}/٧-0.png",
        f"results/{ACCOUNT}/{JOB}/07-0.png",
        f"results/{ACCOUNT}/{JOB}/7-00.png",
        f"results/{ACCOUNT}/{JOB}/7-0.thumb.png",
        f"results/{ACCOUNT}/{JOB}/sub/7-0.png",
        f"/results/{ACCOUNT}/{JOB}/7-0.png",
        f"other/{ACCOUNT}/{JOB}/7-0.png",
        f"results/{'-' * 36}/{JOB}/7-0.png",
        f"results/{ACCOUNT.hex}----/{JOB}/7-0.png",
    ],
)
def test_a_foreign_key_is_nobodys(key: str) -> None:
    assert keys.parse(key) is None


@pytest.mark.parametrize(
    ("token", "index", "extension"),
    [(-1, 0, "png"), (10**18, 0, "png"), (1, -1, "png"), (1, 10**5, "png"), (1, 0, ""), (1, 0, "../x"), (1, 0, "PNG")],
)
def test_a_key_that_could_not_be_read_back_is_not_made(token: int, index: int, extension: str) -> None:
    for make in (keys.result_key, keys.thumbnail_key):
        with pytest.raises(ValueError, match="not a result's key"):
            make(ACCOUNT, JOB, token, index, SHA256, extension)


@given(st.uuids(), st.uuids(), EXTENSIONS, st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}", fullmatch=True))
def test_uploads_and_inputs_are_known_again_and_not_taken_for_one_another(
    account: UUID, second: UUID, extension: str, field: str
) -> None:
    upload, fetched = keys.upload_key(account, second, extension), keys.input_key(account, second, field)
    assert (keys.parse_upload(upload), keys.parse_input(fetched)) == (second, second)
    assert [keys.parse(upload), keys.parse(fetched), keys.parse_upload(fetched), keys.parse_input(upload)] == [None] * 4
    assert upload.startswith(keys.OURS)
    assert fetched.startswith(keys.OURS)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.b", "-a", "é", "a" * 101, "a\n"])
def test_an_input_or_upload_that_could_not_be_read_back_is_not_made(name: str) -> None:
    with pytest.raises(ValueError, match="not an input's key"):
        keys.input_key(ACCOUNT, JOB, name)
    with pytest.raises(ValueError, match="not an upload's key"):
        keys.upload_key(ACCOUNT, JOB, name + "/" + name)
