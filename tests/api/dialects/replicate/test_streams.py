"""A text as it is written: what readers get, whatever ends a line in it and however often it is begun anew."""

from uuid import UUID

import pytest
from replicate.stream import EventSource

from api.dialects.replicate.streams import CHANGED, Written, done, fail, frame
from api.live.frames import live_frame, read_frames
from models.events.kinds import JOB_TEXT

ENDS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


def read(raw: bytes) -> list[tuple[str, str, str]]:
    """As the library reads it: lines that `splitlines` makes."""
    decoder = EventSource.Decoder()
    found = [decoder.decode(line) for line in raw.decode().splitlines()]
    return [(each.event.value, each.id, each.data) for each in found if each is not None]


def text_in(raw: bytes) -> str:
    return "".join(data for event, _, data in read(raw) if event == "output")


@pytest.mark.parametrize("end", ENDS, ids=ascii)
def test_nothing_is_lost_behind_what_ends_a_line(end: str) -> None:
    for text in (f"a{end}b", f"{end}b", f"a{end}", end, f"a{end}{end}b", f" {end} "):
        wanted = "\n".join(text.split(end))
        assert read(frame("output", "1", text)) == [("output", "1", wanted)], ascii(text)


def test_two_characters_that_end_one_line_are_not_torn() -> None:
    written = Written()
    raw = written.hear(0, "a\r") + written.hear(2, "\nb") + written.hear(4, "\r")
    assert text_in(raw) == "a\nb"
    assert text_in(raw + written.finish("a\r\nb\r")) == "a\nb\n"


def test_half_a_character_does_not_break_a_stream() -> None:
    assert read(frame("output", "1", "a\ud800b")) == [("output", "1", "a?b")]


def test_parts_add_up_and_end() -> None:
    written = Written()
    raw = written.hear(0, "one ") + written.hear(4, "two ") + written.finish("one two three")
    assert read(raw) == [
        ("output", "4", "one "), ("output", "8", "two "), ("output", "13", "three"), ("done", "done", "{}"),
    ]  # fmt: skip
    assert read(Written().finish("")) == [("done", "done", "{}")]
    assert read(Written().finish(None)) == [("done", "done", "{}")]
    assert read(Written().finish("all at once"))[0] == ("output", "11", "all at once")


def test_a_text_that_is_begun_anew_is_not_sent_twice() -> None:
    written = Written()
    raw = written.hear(0, "one two ") + written.hear(0, "one ") + written.hear(4, "two three")
    assert text_in(raw + written.finish("one two three.")) == "one two three."


def test_one_that_becomes_another_is_said_to_have_gone_wrong() -> None:
    written = Written()
    raw = written.hear(0, "one two") + written.hear(0, "ONE") + written.hear(3, " TWO") + written.finish("ONE TWO")
    assert read(raw) == [("output", "7", "one two"), ("error", "done", CHANGED), ("done", "done", '{"reason":"error"}')]
    written = Written()
    raw = written.hear(0, "one two three") + written.finish("one two")
    assert [each[0] for each in read(raw)] == ["output", "error", "done"]


def test_who_comes_again_gets_what_they_do_not_have() -> None:
    written = Written(known=6)
    raw = written.hear(0, "one ") + written.hear(4, "two three") + written.finish("one two three")
    assert text_in(raw) == "o three"
    assert text_in(Written(known=100).finish("one")) == ""


def test_ends_that_are_none_of_success() -> None:
    assert read(done("canceled")) == [("done", "done", '{"reason":"canceled"}')]
    assert read(fail("it broke\nhere"))[0] == ("error", "done", "it broke\nhere")


def test_what_our_own_frames_say_is_read() -> None:
    said = {"attempt": 1, "position": 0, "text": "a\n\nb"}
    raw = live_frame(JOB_TEXT, UUID(int=1), said) + b":\n\n" + live_frame("job.progress", UUID(int=1), {"progress": 3})
    assert list(read_frames(raw)) == [(JOB_TEXT, said), ("", None), ("job.progress", {"progress": 3})]
