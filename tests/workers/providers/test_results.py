"""Outputs from what providers answer with, and what is kept of their words."""

import base64
import math
from typing import Any

import pytest

from workers.providers import results, wire
from workers.providers.base import (
    ID_CHARACTERS,
    Done,
    NotFetched,
    OutcomeUnknown,
    Output,
    Pending,
    ProviderError,
    Request,
)
from workers.providers.results import Unreadable

DATA = bytes(range(250)) + b"\xfb\xff\xfe"  # has both letters that differ between the two alphabets
PLAIN = base64.b64encode(DATA).decode()


def read(output: Output) -> bytes:
    return b"".join(output.chunks())


# Base64


@pytest.mark.parametrize("text", [
    PLAIN, PLAIN.rstrip("="), base64.urlsafe_b64encode(DATA).decode(), base64.urlsafe_b64encode(DATA).decode().rstrip("="),
    base64.encodebytes(DATA).decode(), "\r\n".join(PLAIN[at : at + 64] for at in range(0, len(PLAIN), 64)), f" {PLAIN}\n",
    f"data:image/png;base64,{PLAIN}", f"DATA:image/png;charset=x;base64,{PLAIN}", f"data:;base64,{PLAIN}",
    f"data:image/png;base64,{base64.encodebytes(DATA).decode()}", f"data:image/png;base64,{PLAIN.replace('+', '%2B')}",
])  # fmt: skip
def test_base64_is_read_as_servers_write_it(text: str) -> None:
    assert read(results.of_base64(text)) == DATA


@pytest.mark.parametrize(("text", "cut"), [
    ("AAAAA", True), ("", True), ("data:image/png;base64,", True), ("data:image/png;base64,AAAAA", True), ("data:,", True),
    ("A*", False), ("!", False), ("data:image/png;base64,I am sorry.", False), ("AA=A", False), ("data:image/png", False),
    ("Ä", False), ("\ud800", False),
])  # fmt: skip
def test_base64_that_breaks_off_is_told_from_what_is_none(text: str, cut: bool) -> None:
    with pytest.raises(Unreadable) as caught:
        results.of_base64(text)
    assert caught.value.cut is cut
    error = results.unreadable(caught.value, 7)
    assert (error.retryable, error.charged, error.cost_usd_micros) == (cut, True, 7)
    assert error.code == ("result_cut_off" if cut else "unusable_answer")


def test_what_is_cut_off_is_asked_for_once_more_and_then_no_more() -> None:
    request, done = Request("m", "image", {}), Done([])
    asked: list[None] = []

    def ask(fails: int) -> Any:
        asked.append(None)
        if len(asked) <= fails:
            raise results.unreadable(Unreadable("cut", cut=True))
        return done

    assert results.ask_again(lambda: ask(1)) is done
    asked.clear()
    with pytest.raises(ProviderError) as caught:
        results.ask_again(lambda: ask(9))
    assert (caught.value.code, len(asked)) == ("result_cut_off", 2)
    assert request.confirm() is None


# Addresses


@pytest.mark.parametrize(("text", "is_one"), [
    ("https://x.example/a", True), ("HTTP://x.example/a", True), ("data:,x", True), ("https://x.example/ is where", False),
    ("/etc/passwd", False), ("ftp://x/a", False), ("file:///a", False), ("", False), (None, False), (7, False),
])  # fmt: skip
def test_an_address_is_told_from_a_sentence_and_a_path(text: object, is_one: bool) -> None:
    assert results.is_address(text) is is_one


def test_the_addresses_in_a_value_are_found_in_their_order_but_not_for_ever() -> None:
    deep: Any = "https://x.example/deep"
    for _ in range(50):
        deep = [deep]
    value = {"a": ["https://x.example/1", {"b": "https://x.example/2"}], "deep": deep, "n": 3}
    assert list(results.addresses(value)) == ["https://x.example/1", "https://x.example/2"]


# Words


@pytest.mark.parametrize(("data", "words"), [
    (b"I am sorry.", True), ("ä".encode() * 3000, True), (b'{"error": 1}', True), (b"", False),
    (b"RIFF\x24\x00\x00\x00WAVE", False), (b"\x89PNG\r\n", False), (b"\xff\xfb\x90\x00", False), (b"ID3\x04\x00", False),
])  # fmt: skip
def test_a_text_is_told_from_sound_and_pictures(data: bytes, words: bool) -> None:
    assert results.is_words(data) is words


def test_a_letter_that_the_beginning_cuts_in_two_is_still_a_text() -> None:
    assert results.is_words(b"x" * 4095 + "ä".encode() + b"y")


def test_words_are_no_picture_but_a_file_that_only_claims_to_be_words_may_be_one() -> None:
    picture, text = results.of_bytes(b"\x89PNG", "image/png"), results.of_text("sorry")
    wrong = results.of_bytes(b"\x89PNG\xff", "application/problem+json")
    there = Output(lambda: iter([b"{}"]), "application/json", "https://x.example/a")
    assert results.ordered("image", [text, picture, wrong, there]) == [picture]
    assert results.ordered("image", [text, wrong, there]) == [wrong, there]
    assert results.ordered("speech", [text]) == []
    assert results.ordered("text", [text, picture]) == [text, picture]


# What can be kept

BAD = "a\x00b\ud800c\udfff"


def test_errors_hold_words_that_a_database_can_keep() -> None:
    errors: list[ProviderError | OutcomeUnknown] = [
        ProviderError(BAD, BAD * 9000, retryable=False), OutcomeUnknown(BAD), NotFetched(BAD, 404),
    ]  # fmt: skip
    for error in errors:
        kept = error.message.encode()
        assert b"\x00" not in kept
        assert 0 < len(error.message) <= 1000
        assert str(error) == error.message
    refusal = ProviderError(BAD, "", retryable=False)
    assert refusal.code.encode()
    assert (refusal.message, ProviderError("", "", retryable=True).code) == (refusal.code, "provider_error")


@pytest.mark.parametrize("number", [-1, 2**63, 10**400, True, math.nan, math.inf, 1.5, "7", None, [1], -math.inf])
def test_a_number_that_a_column_cannot_hold_is_left_out_and_loses_no_result(number: Any) -> None:
    done = Done([], number, {"tokens": number, "good": 3})
    assert (done.cost_usd_micros, done.usage) == (None, {"good": 3})
    assert ProviderError("x", "y", retryable=False, cost_usd_micros=number).cost_usd_micros is None


def test_numbers_and_names_that_can_be_kept_are() -> None:
    done = Done([], 2**63 - 1, {BAD: 0, "n" * 500: 7.0, **{f"x{number}": 1 for number in range(100)}})
    assert done.cost_usd_micros == 2**63 - 1
    assert len(done.usage) == 32
    assert list(done.usage)[:2] == [BAD.replace("\x00", "\ufffd").replace("\ud800", "\ufffd").replace("\udfff", "\ufffd"),
                                    "n" * 100]  # fmt: skip


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, None])
def test_a_pause_that_is_none_is_left_out(seconds: Any) -> None:
    assert ProviderError("x", "y", retryable=True, retry_after_seconds=seconds).retry_after_seconds is None


@pytest.mark.parametrize("name", ["", "a\x00", "\ud800", "x" * (ID_CHARACTERS + 1)])
def test_an_id_that_cannot_be_kept_leaves_the_outcome_unknown(name: str) -> None:
    with pytest.raises(OutcomeUnknown):
        Pending(name)


def test_a_pending_generation_is_asked_for_at_times_that_are_some() -> None:
    assert Pending("x" * ID_CHARACTERS, math.inf, 400) == Pending("x" * ID_CHARACTERS, 3600.0, 100)
    assert Pending("x", -5.0, -3) == Pending("x", 0.01, None)


def test_a_media_type_that_is_claimed_can_be_kept() -> None:
    claimed = Output(lambda: iter(()), BAD * 100).claimed_media_type
    assert claimed is not None
    assert claimed.encode()
    assert len(claimed) == 100


# The wire's own


@pytest.mark.parametrize(("data", "value"), [
    (b'{"a": 1}', {"a": 1}), (b'"\\ud800"', "\ud800"), (b'{"score": NaN}', None), (b'["\xff"]', ["\ufffd"]),
    (b"\xef\xbb\xbf[1]", [1]), (b"[1e999]", [math.inf]),
])  # fmt: skip
def test_json_that_is_a_little_wrong_is_read_all_the_same(data: bytes, value: Any) -> None:
    found = wire.parsed(data)
    assert math.isnan(found["score"]) if value is None else found == value


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": [1, 2', b"<html>", b"[" * 200_000, b'"abc'])
def test_json_that_is_none_or_is_cut_off_is_none(data: bytes) -> None:
    with pytest.raises(ValueError):
        wire.parsed(data)
