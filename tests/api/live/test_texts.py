"""What a listener is told of a text: each letter once, in order, whatever is lost, late, twice or of another claim."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.live.texts import ReadTo, TextPiece, lacking, piece_of


@pytest.mark.parametrize("said", [
    None, 5, [], {}, {"run": 1, "attempt": 1, "position": 0}, {"run": "1", "attempt": 1, "position": 0, "text": "x"},
    {"run": 1, "attempt": 1, "position": -1, "text": "x"}, {"run": 1, "attempt": 1, "position": 0, "text": None},
])  # fmt: skip
def test_what_is_no_piece_is_none(said: Any) -> None:
    assert piece_of(said) is None


def test_a_piece_is_read() -> None:
    assert piece_of({"run": 3, "attempt": 1, "position": 4, "text": "x"}) == TextPiece(3, 1, 4, "x")


@pytest.mark.parametrize(("told", "piece", "lacks"), [
    (None, TextPiece(1, 1, 0, "abc"), (0, "abc")),
    (None, TextPiece(1, 1, 3, "d"), None),  # it came in the middle: the beginning is to be asked for
    (ReadTo(1, 3), TextPiece(1, 1, 3, "d"), (3, "d")),
    (ReadTo(1, 3), TextPiece(1, 1, 0, "abcd"), (3, "d")),  # the whole, of which it has a part
    (ReadTo(1, 3), TextPiece(1, 1, 0, "ab"), (3, "")),
    (ReadTo(1, 3), TextPiece(1, 1, 5, "f"), None),
    (ReadTo(1, 3), TextPiece(2, 1, 0, "x"), (0, "x")),  # a later claim begins anew
    (ReadTo(1, 3), TextPiece(2, 1, 2, "x"), None),
    (ReadTo(2, 3), TextPiece(1, 1, 3, "old"), (3, "")),  # what a worker says that has lost its job
])  # fmt: skip
def test_what_a_listener_lacks(told: ReadTo | None, piece: TextPiece, lacks: tuple[int, str] | None) -> None:
    found = lacking(told, piece)
    assert (None if found is None else (found.position, found.text)) == lacks


@given(st.text(min_size=1, max_size=40), st.data())
def test_in_any_order_with_gaps_asked_for_the_text_is_whole(text: str, data: st.DataObject) -> None:
    told, read = None, ""
    for _ in range(data.draw(st.integers(1, 12))):
        begin = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(begin, len(text)))
        piece = lacking(told, TextPiece(1, 1, begin, text[begin:end])) or lacking(told, TextPiece(1, 1, 0, text[:end]))
        assert piece is not None
        if piece.text:
            assert piece.position == len(read)
            read += piece.text
            told = ReadTo(1, len(read))
    assert text.startswith(read)
