"""A result that nothing can read costs its own job, once; a sandbox that is away costs nobody anything."""

import base64
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from storage import media
from storage.sandbox import pool
from tests.far_side import deployment
from tests.far_side.server import as_json
from tests.storage import hostile
from tests.support import account, assert_books_are_clean, balance, one, placed
from tests.workers.steps.test_border import DALL_E, due, outcome
from tests.workers.steps.worker import worker

pytestmark = pytest.mark.usefixtures("database")


@pytest.mark.parametrize("name", ["jpeg of scans", "flat png"])
def test_a_result_that_kills_its_reader_fails_its_job_and_is_not_bought_again(
    painter: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    data = hostile.SMALL[name]()
    if name == "flat png":  # an honest picture, and a reader that is not given the memory for it
        monkeypatch.setattr(media, "COMMON_PIXELS", 10**9)
        monkeypatch.setattr(media, "COMMON_BYTES", 30_000_000)
    answer = as_json({"data": [{"b64_json": base64.b64encode(data).decode()}]})
    job_id = placed(who := account(amount=5), deployment.routed("made", DALL_E))
    with worker() as advance, patch.object(type(painter), "_images", lambda *_: answer):
        advance(job_id)
    assert outcome() == ("failed", "result_too_large")
    assert one("select count(*) from attempts") == (1,)
    assert balance(who) == (5, 0)
    assert_books_are_clean()


def test_a_result_that_nobody_can_read_just_now_is_kept_and_read_later(
    painter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = placed(account(amount=5), deployment.routed("dall-e", DALL_E))
    monkeypatch.setattr(media, "QUICK_BYTES", 0)
    with worker() as advance:
        with monkeypatch.context() as away:
            away.setattr(pool, "_pools", {})
            away.setattr(pool, "NURSERY", Path("/nowhere/nursery.py"))
            advance(job_id)
        assert one("select phase from attempts") == ("delivered",)
        due(job_id)
        advance(job_id)
    assert outcome() == ("succeeded", None)
    assert len(painter.book.generations()) == 1
    assert_books_are_clean()
