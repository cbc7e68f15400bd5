"""An answer leaves in one packet where it can, and never waits where it cannot."""

import asyncio
from typing import Any

from api.edge.flow import Together


class Line:
    """A transport that remembers what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def play(*acts: Any) -> Line:
    """What a line has seen after these: bytes are written, "turn" lets the loop go once, "close" closes."""
    line = Line()

    async def acting() -> None:
        answer = Together(line, asyncio.get_running_loop())  # type: ignore[arg-type]  # all that it uses of one
        for act in acts:
            if isinstance(act, bytes):
                answer.write(act)
            elif act == "turn":
                await asyncio.sleep(0)
            else:
                answer.close()

    asyncio.run(acting())
    return line


def test_a_head_leaves_with_its_body() -> None:
    assert play(b"head ", b"body", "turn").written == [b"head body"]


def test_a_head_without_a_body_yet_leaves_in_its_turn() -> None:
    assert play(b"head", "turn", b"one", "turn", b"two").written == [b"head", b"one", b"two"]


def test_what_follows_is_written_as_it_comes() -> None:
    assert play(b"head ", b"one", b"two", b"three").written == [b"head one", b"two", b"three"]


def test_an_empty_body_sends_its_head() -> None:
    assert play(b"head", b"").written == [b"head"]


def test_a_head_leaves_before_its_line_is_closed() -> None:
    line = play(b"head", "close", "turn")
    assert (line.written, line.closed) == ([b"head"], True)
