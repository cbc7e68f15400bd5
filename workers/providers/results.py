"""Outputs from what providers answer with: bytes, `data:` URIs and addresses; and what is none of what was ordered."""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard
from urllib.parse import unquote_to_bytes

import orjson

from workers.providers.base import (
    MESSAGE_CHARACTERS,
    Outcome,
    OutcomeUnknown,
    Output,
    Pending,
    ProviderError,
    Request,
    storable,
)

EXCERPT_CHARACTERS = 200
CUT_OFF = "result_cut_off"
DEPTH, LIMIT = 8, 256  # how deep outputs are looked for in an answer, and how many of them are taken
WORDS = re.compile(r"text/|application/(?:[a-z.+-]*\+)?json\b", re.IGNORECASE)  # media types of words, not of media
BASE64 = re.compile(r"[A-Za-z0-9+/]*")
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_TO_STANDARD = str.maketrans("-_", "+/", " \t\r\n\f")


class Unreadable(ValueError):
    """A result that came with the answer cannot be read. `cut`: it only breaks off, so another copy of it may be whole."""

    def __init__(self, message: str, *, cut: bool = False) -> None:
        super().__init__(message)
        self.cut = cut


def of_bytes(data: bytes, media_type: str | None = None) -> Output:
    """A result that came with the answer and is held in memory."""
    return Output(partial(_once, data), media_type)


def of_text(text: str) -> Output:
    """A text, as UTF-8. A lone surrogate, which JSON can carry and UTF-8 cannot, becomes a question mark."""
    return of_bytes(text.encode(errors="replace"), "text/plain")


def of_json(value: Any) -> Output:
    """Any value, as JSON."""
    return of_bytes(_dumped(value), "application/json")


def of_base64(text: str, media_type: str | None = None) -> Output:
    """Base64 as servers write it: in lines, without padding, in the alphabet for addresses, or as a `data:` URI.

    Raises Unreadable.
    """
    if text[:5].lower() == "data:":
        return of_data_uri(text)
    letters = text.translate(_TO_STANDARD).rstrip("=")
    if not BASE64.fullmatch(letters):
        raise Unreadable("no base64")
    if len(letters) % 4 == 1:
        raise Unreadable("base64 that breaks off", cut=True)
    data = b64decode(letters + "=" * (-len(letters) % 4))
    if not data:
        raise Unreadable("nothing in base64", cut=True)
    return of_bytes(data, media_type)


def is_address(value: object) -> TypeGuard[str]:
    """Whether this is where a result is, or the result as a `data:` URI, and not a sentence that begins like one."""
    if not isinstance(value, str):
        return False
    head = value[:8].lower()
    return head.startswith("data:") or (head.startswith(("https://", "http://")) and not re.search(r"\s", value))


def of_data_uri(uri: str) -> Output:
    """A result that lies in its own address. Raises Unreadable."""
    head, comma, body = uri[5:].partition(",")
    if not comma:
        raise Unreadable("a data: URI without a comma")
    media_type = head.partition(";")[0].strip().lower()
    if head.rstrip().lower().endswith(";base64"):
        return of_base64(unquote_to_bytes(body).decode("ascii", "replace") if "%" in body else body, media_type or None)
    data = unquote_to_bytes(body)
    if not data:
        raise Unreadable("nothing in a data: URI", cut=True)
    return of_bytes(data, media_type or "text/plain")


def addresses(value: Any, depth: int = DEPTH) -> Iterator[str]:
    """The addresses in a value of any shape, in their order."""
    if depth == 0:
        return
    if isinstance(value, str):
        if is_address(value):
            yield value
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from addresses(each, depth - 1)


def made(things: Sequence[Any], make: Callable[[Any], Output]) -> list[Output]:
    """The outputs of these that can be read. Raises Unreadable if none can: what is good is not thrown away for another."""
    outputs, wrong = [], None
    for each in things[:LIMIT]:
        try:
            outputs.append(make(each))
        except Unreadable as error:
            wrong = wrong or error
    if not outputs and wrong is not None:
        raise wrong
    return outputs


def found(kind: str, value: Any, output: Callable[[str], Output]) -> list[Output]:
    """What a model's output of any shape holds of what was ordered: the files at its addresses, in their order; of a text
    model its text, which may come in pieces, else JSON. Raises Unreadable.
    """
    if is_hollow(value):
        return []
    words = [value] if isinstance(value, str) else value
    if kind == "text" and isinstance(words, list) and all(isinstance(each, str) for each in words):
        return [of_text("".join(words))]
    outputs = made(list(addresses(value)), output)
    return [of_json(value)] if not outputs and kind == "text" else ordered(kind, outputs)


# What was ordered


def ordered(kind: str, outputs: Sequence[Output]) -> list[Output]:
    """Those of the outputs that may be what was ordered. Words are no picture, film or speech; a file that only claims to
    be words is taken where there is no other, since its bytes will tell.
    """
    if kind == "text":
        return list(outputs)
    others = [each for each in outputs if not (each.claimed_media_type and WORDS.match(each.claimed_media_type))]
    return others or [each for each in outputs if each.address is not None or not is_words(b"".join(each.chunks()))]


def is_words(data: bytes) -> bool:
    """Whether bytes are a text, by their beginning."""
    try:
        beginning = data[:4096].decode()
    except UnicodeDecodeError as error:
        if error.start < len(data[:4096]) - 3:  # not only a letter that the beginning cuts in two
            return False
        beginning = data[: error.start].decode()
    return bool(beginning) and not CONTROLS.search(beginning)


def none_of_kind(kind: str, answered: Any, cost_usd_micros: int | None = None) -> ProviderError:
    """The generation ended, and what was ordered is not there: the same would come again.

    Another route may be tried where this one cost nothing, and that is known.
    """
    charged = cost_usd_micros != 0
    return ProviderError(
        "no_result_of_kind", f"{kind} was ordered, and the answer was {_excerpt(answered)}", retryable=False,
        charged=charged, cost_usd_micros=cost_usd_micros, elsewhere=not charged,
    )  # fmt: skip


def unreadable(error: Unreadable, cost_usd_micros: int | None = None) -> ProviderError:
    """The generation ended, and its result cannot be read: for good, or only this copy of it."""
    return ProviderError(
        CUT_OFF if error.cut else "unusable_answer", f"the result cannot be read: {error}", retryable=error.cut,
        charged=True, cost_usd_micros=cost_usd_micros, elsewhere=True,
    )  # fmt: skip


def ask_again(ask: Callable[[], Outcome]) -> Outcome:
    """What a question that changes nothing is answered; asked once more where the result in its answer is cut off."""
    try:
        return ask()
    except ProviderError as error:
        if error.code != CUT_OFF:
            raise
        return ask()


def last_word(poll: Callable[[Request, str], Outcome], request: Request, found: str, *, known: bool) -> Outcome:
    """What is to be asked after a call back said that the generation `found` has ended. `known`: its id is on record.

    Whatever the answer, the call is not turned into less than it said: what cannot be asked now is unknown, not lost,
    and an id that only the call named is kept first.
    """
    try:
        outcome = poll(request, found)
    except OutcomeUnknown:
        if known:
            raise
        return Pending(found)
    except ProviderError as error:
        if error.code == "unknown_job":  # it was called back about, so it is there
            raise OutcomeUnknown(f"called back, but not to be found: {error.message}") from error
        raise
    if isinstance(outcome, Pending) and known:
        raise OutcomeUnknown("called back as ended, but asked it is still on its way")
    return outcome


def is_hollow(value: Any) -> bool:
    """Whether there is nothing in a value, however much is around it."""
    if isinstance(value, Mapping | list):
        return all(is_hollow(each) for each in (value.values() if isinstance(value, Mapping) else value))
    return value is None or (isinstance(value, str) and not value.strip())


def _excerpt(answered: Any) -> str:
    words = answered if isinstance(answered, str) else _dumped(answered).decode(errors="replace")
    words = " ".join(storable(words, MESSAGE_CHARACTERS).split())
    return words[:EXCERPT_CHARACTERS] or "empty"


def _dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # lone surrogates, numbers past 64 bits
        return json.dumps(value).encode()


def _once(data: bytes) -> Iterator[bytes]:
    yield data
