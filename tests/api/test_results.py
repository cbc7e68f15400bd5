"""Ranges of files, by RFC 9110, and the addresses that are ours."""

import base64
from uuid import uuid4

import pytest

from api.results import asset_of, byte_range
from common.errors import NotFound
from common.tokens import FILE, signature_of


@pytest.mark.parametrize(("header", "part"), [
    (None, None), ("bytes=0-9", (0, 9)), ("bytes=90-", (90, 99)), ("bytes=-10", (90, 99)), ("bytes=50-1000", (50, 99)),
    ("bytes=-1000", (0, 99)), ("bytes=1-2,4-5", None), ("lines=1-2", None), ("bytes=a-b", None), ("bytes=", None),
    ("bytes=5", None), ("bytes=²-", None), ("bytes=٣-", None), ("bytes=1-" + "9" * 5000, (1, 99)), ("bytes=0005-07", (5, 7)),
])  # fmt: skip
def test_a_range_is_read(header: str | None, part: tuple[int, int] | None) -> None:
    assert byte_range(header, 100) == part


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=5-4", "bytes=-0", "bytes=" + "9" * 5000 + "-"])
def test_a_range_that_cannot_be_had_is_refused(header: str) -> None:
    with pytest.raises(ValueError):
        byte_range(header, 100)


def token(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_an_address_with_another_signature_is_no_address() -> None:
    asset_id, other = uuid4(), uuid4()
    good = asset_id.bytes + signature_of(FILE, asset_id.bytes)
    assert asset_of(token(good)) == asset_id
    for wrong in (
        asset_id.bytes + signature_of(FILE, other.bytes), asset_id.bytes, asset_id.bytes + bytes(FILE.signature_bytes), good + b"x",
        good[:-1] + bytes([good[-1] ^ 1]),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            asset_of(token(wrong))
