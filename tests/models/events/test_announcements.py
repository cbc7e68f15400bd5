"""Announcements: told to everybody who was there, once, in batches, whatever is locked or fails meanwhile."""

from typing import Any
from uuid import UUID

import pytest

from common.errors import InvalidInput
from models.access.audit_log import By
from models.db import transaction
from models.events import announcements, events
from models.events.announcements import MISSED_SECONDS, AnnouncementRow
from models.events.notifications import MAX_BODY, MAX_TITLE
from tests.models.hands import change, later
from tests.support import account, one, rows

pytestmark = pytest.mark.usefixtures("database")


def made(title: str = "New", body: str = "There is {more}.", plan: str | None = None) -> AnnouncementRow:
    with transaction() as conn:
        return announcements.create(conn, By("tester"), title, body, plan)


def walked(limit: int = 10) -> tuple[int, bool]:
    with transaction() as conn:
        return announcements.notify(conn, limit)


def heard(title: str | None = None) -> list[UUID]:
    """Who was told, as often as they were."""
    return [
        row[0]
        for row in rows(
            """select account_id from events where type = 'announcement' and (%s::text is null or data->>'title' = %s)
                order by account_id""",
            title, title,
        )
    ]  # fmt: skip


def finished() -> bool:
    return bool(one("select finished_at is not null from announcements")[0])


@pytest.mark.parametrize(("fields", "param"), [
    ({"title": ""}, "title"), ({"title": " \n"}, "title"), ({"body": "\t"}, "body"), ({"title": "a\0b"}, "title"),
    ({"body": "a\0b"}, "body"), ({"title": "x" * (MAX_TITLE + 1)}, "title"), ({"body": "x" * (MAX_BODY + 1)}, "body"),
    ({"plan": "gold"}, "plan"),
])  # fmt: skip
def test_what_cannot_be_told_is_refused_and_not_written_down(fields: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        made(**fields)
    assert refused.value.param == param
    assert rows("select 1 from announcements") == []
    assert rows("select 1 from acts") == []


def test_the_longest_there_can_be_is_told() -> None:
    account()
    made("t" * MAX_TITLE, "b" * MAX_BODY)
    assert walked() == (1, False)
    assert one("select length(title), length(body) from notifications") == (MAX_TITLE, MAX_BODY)


def test_an_announcement_is_written_down_with_who_made_it() -> None:
    shown = made(plan="pro")
    assert (shown.title, shown.plan_id, shown.notified, shown.finished_at) == ("New", "pro", 0, None)
    assert one("select actor, action, subject, details from acts") == (
        "tester", "announcement.create", str(shown.id), {"title": "New", "plan": "pro"},
    )  # fmt: skip


def test_everybody_is_told_once_in_batches() -> None:
    everybody = sorted(account() for _ in range(5))
    made()
    assert [walked(2) for _ in range(4)] == [(2, True), (2, True), (1, False), (0, False)]
    assert heard() == everybody
    assert finished()
    assert one("select notified, missed from announcements") == (5, [])
    assert rows("select distinct title, body from notifications") == [("New", "There is {more}.")], "braces are text"


def test_a_last_batch_that_is_full_does_not_end_the_walk() -> None:
    for _ in range(2):
        account()
    made()
    assert walked(2) == (2, True)
    assert not finished()
    assert walked(2) == (0, False)
    assert finished()


def test_who_is_on_another_plan_is_deleted_or_came_later_is_not_told() -> None:
    told, _other, gone = account(plan="pro"), account(), account(plan="pro")
    change("update users set deleted_at = app_now() where id = (select user_id from accounts where id = %s)", gone)
    made(plan="pro")
    with later(1):
        account(plan="pro")
        assert walked() == (1, False)
    assert heard() == [told]


def test_the_oldest_announcement_is_told_first_and_the_next_after_its_walk() -> None:
    everybody = sorted(account() for _ in range(3))
    made("first")
    made("second")
    walked(2)
    assert (heard("first"), heard("second")) == (everybody[:2], [])
    walked(2)
    walked(2)
    assert (heard("first"), heard("second")) == (everybody, everybody[:2])


def test_an_account_that_is_held_is_missed_and_told_after_the_walk() -> None:
    first, held, last = sorted(account() for _ in range(3))
    made()
    with transaction() as other:
        other.execute("select 1 from accounts where id = %s for no key update", [held])
        assert walked() == (2, False)
        assert heard() == [first, last]
        assert one("select notified, missed, walked_at is not null, finished_at from announcements") == (
            2,
            [held],
            True,
            None,
        )
        assert walked() == (0, False), "it is still held"
    assert walked() == (1, False)
    assert heard() == [first, held, last]
    assert one("select notified, missed from announcements") == (3, [])
    assert finished()
    assert walked() == (0, False)


def test_an_account_that_cannot_be_told_holds_up_no_other_and_is_given_up_after_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, broken, last = sorted(account() for _ in range(3))
    real = events.add

    def add(conn: Any, account_id: UUID, *rest: Any, **more: Any) -> None:
        real(conn, account_id, *rest, **more)
        if account_id == broken:
            raise ZeroDivisionError

    monkeypatch.setattr(events, "add", add)
    made()
    assert walked() == (2, False)
    assert heard() == [first, last], "what failed has told nothing"
    assert walked() == (0, False)
    assert not finished()
    with later((MISSED_SECONDS + 60) / 3600):
        assert walked() == (0, False)
    assert finished()
    assert one("select notified, missed from announcements") == (2, [broken]), "who was never told is known"


def test_those_who_were_missed_take_turns() -> None:
    held = sorted(account() for _ in range(3))
    made()
    with transaction() as other:
        other.execute("select 1 from accounts for no key update")
        walked()
        assert one("select missed from announcements") == (held,)
        walked(1)
        assert one("select missed from announcements") == ([*held[1:], held[0]],)
    assert walked(2) == (2, False)
    assert one("select missed from announcements") == ([held[0]],)


def test_two_schedulers_do_not_tell_the_same_batch() -> None:
    everybody = sorted(account() for _ in range(2))
    made()
    with transaction() as first:
        assert announcements.notify(first, 5) == (2, False)
        assert walked(5) == (0, False), "it is in the other's hands"
    assert heard() == everybody


def test_a_batch_that_was_undone_is_told_again_from_where_it_began() -> None:
    everybody = sorted(account() for _ in range(3))
    made()
    walked(1)
    with pytest.raises(ZeroDivisionError), transaction() as conn:
        announcements.notify(conn, 1)
        raise ZeroDivisionError
    walked(5)
    assert heard() == everybody


def test_announcements_are_listed_newest_first_page_by_page() -> None:
    shown = [made(str(number)) for number in range(3)]
    with transaction() as conn:
        assert [each.title for each in announcements.list_announcements(conn, limit=2)] == ["2", "1"]
        assert [each.title for each in announcements.list_announcements(conn, before=shown[1].id)] == ["0"]
        assert announcements.list_announcements(conn, before=UUID(int=0)) == []
