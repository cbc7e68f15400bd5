"""What many want to see is read once in a while."""

import threading

import pytest

from api.turns.lately import Lately


def test_figures_are_read_once_in_a_while_however_many_look() -> None:
    clock, reads = [0.0], list[int]()
    kept = Lately(4.0, lambda: clock[0])

    def read() -> int:
        reads.append(1)
        return len(reads)

    assert [kept.get("1h", read), kept.get("1h", read), kept.get("24h", read)] == [1, 1, 2]
    clock[0] = 4.0
    assert kept.get("1h", read) == 3


def test_those_who_come_while_it_is_read_wait_for_that() -> None:
    kept, begun, go_on = Lately(60), threading.Event(), threading.Event()
    reads, found = list[int](), list[str]()

    def read() -> str:
        reads.append(1)
        begun.set()
        go_on.wait(20)
        return "figures"

    callers = [threading.Thread(target=lambda: found.append(kept.get("1h", read))) for _ in range(4)]
    for each in callers:
        each.start()
    assert begun.wait(20)
    go_on.set()
    for each in callers:
        each.join(20)
    assert (found, len(reads)) == (["figures"] * 4, 1)


def test_what_cannot_be_read_is_tried_again() -> None:
    kept = Lately(60)
    with pytest.raises(ZeroDivisionError):
        kept.get("1h", lambda: 1 / 0)
    assert kept.get("1h", lambda: 2.0) == 2.0
