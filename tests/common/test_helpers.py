"""The small helpers that several rooms use."""

import io
from hashlib import sha256

import pytest

from common import process, rest
from common.rest import Rest
from common.retry_after import seconds_asked
from common.spooling import spool
from common.whsec import key_of


@pytest.mark.parametrize(("value", "seconds"), [
    ("7", 7.0), ("0", 0.0), ("-3", 0.0), ("1e999", 86_400.0), ("inf", 86_400.0), ("-inf", 0.0), ("nan", None), ("", None),
    ("soon", None), ("9" * 5000, 86_400.0), ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0), ("Fri, 31 Dec 9999 23:59:59 -2359", 86_400.0),
    ("Mon, 01 Jan 99999 00:00:00 GMT", None), ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0), ("Mon, 01 Jan 2001 00:00:00 -0000", 0.0),
])  # fmt: skip
def test_retry_after_is_some_seconds_or_none_whatever_stands_there(value: str, seconds: float | None) -> None:
    assert seconds_asked({"retry-after": value}) == seconds


def test_a_server_that_failed_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(rest.time, "monotonic", lambda: now)
    one = Rest(2.0)
    assert not one.is_on
    one.start()
    now = 1001.9
    assert one.is_on
    now = 1002.0
    assert not one.is_on


@pytest.mark.parametrize(("secret", "key"), [
    ("whsec_c2VjcmV0", b"secret"), ("whsec_YQ", b"a"), ("whsec_YQ==", b"a"),
    ("c2VjcmV0", None), ("sk_c2VjcmV0", None), ("whsec_", None), ("whsec_%%", None), ("whsec_ä", None), ("", None),
])  # fmt: skip
def test_a_webhook_secret_is_read_in_one_way(secret: str, key: bytes | None) -> None:
    if key is None:
        with pytest.raises(ValueError):
            key_of(secret)
    else:
        assert key_of(secret) == key


def test_a_webhook_secret_may_be_asked_to_be_long() -> None:
    assert key_of("whsec_c2VjcmV0", 6)
    with pytest.raises(ValueError, match="not a webhook secret"):
        key_of("whsec_c2VjcmV0", 7)


def test_what_is_spooled_is_on_disk_with_its_sum() -> None:
    file = io.BytesIO()
    assert spool([b"one", b"", b"two"], file) == (sha256(b"onetwo").digest(), 6)
    assert file.getvalue() == b"onetwo"


def test_two_parts_of_a_process_have_two_names() -> None:
    assert process.new_name() != process.new_name()
