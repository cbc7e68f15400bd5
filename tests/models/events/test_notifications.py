"""In-app notifications: which events make one, what it says, and who reads it."""

from uuid import UUID, uuid4

import pytest

from common.errors import NotFound
from common.settings import settings
from models.db import transaction
from models.events import events, notifications
from models.events.notifications import MAX_BODY, MAX_TITLE, NOTICES, NotificationRow, texts
from tests.conftest import environment
from tests.models.hands import change
from tests.support import account, one, rows

pytestmark = pytest.mark.usefixtures("database")

MAIL = {"SMTP_URL": "smtp://mail.example:587?from=us@example.com"}


def told(who: UUID, kind: str = "announcement", **data: object) -> None:
    with transaction() as conn:
        conn.execute("select 1 from accounts where id = %s for no key update", [who])
        events.add(conn, who, kind, data or {"title": "New", "body": "There is more."})


def listed(who: UUID, **fields: object) -> list[NotificationRow]:
    with transaction() as conn:
        return notifications.list_notifications(conn, who, **fields)  # type: ignore[arg-type]  # each test gives what its field takes


def unread(who: UUID) -> int:
    with transaction() as conn:
        return notifications.unread(conn, who)


def address(who: UUID, email: str | None) -> None:
    change("update users set email = %s where id = (select user_id from accounts where id = %s)", email, who)


# What one says


@pytest.mark.parametrize("kind", sorted(NOTICES))
def test_a_notice_can_be_put_into_words_whatever_its_event_leaves_out(kind: str) -> None:
    title, body = texts(kind, {})
    assert title
    assert body
    assert "{" not in title + body


def test_a_notice_says_what_its_event_says() -> None:
    assert texts("webhook.disabled", {"url": "https://a.example", "reason": "410 {gone}"}) == (
        "A webhook was switched off",
        "Deliveries to https://a.example were stopped: 410 {gone}. Switch it on again once it works.",
    )
    assert texts("subscription.expired", {"plan": "pro"})[1] == "Your plan pro has ended. Your account is on – now."


def test_texts_that_are_too_long_are_cut_to_what_can_be_kept() -> None:
    who = account()
    told(who, title="t" * (MAX_TITLE + 1), body="b" * (MAX_BODY + 1))
    [shown] = listed(who)
    assert (shown.title, shown.body) == ("t" * MAX_TITLE, "b" * MAX_BODY)


# Which events make one


def test_an_event_that_people_are_told_of_makes_one_with_its_number_and_others_make_none() -> None:
    who, other = account(), account()
    told(who, "credits.granted", amount=1)
    assert listed(who) == []
    told(who, "payment.succeeded", paid="5 €", id="p1")
    [shown] = listed(who)
    assert (shown.kind, shown.title, shown.event_number, shown.read_at) == (
        "payment.succeeded", "Payment received", 2, None,
    )  # fmt: skip
    assert shown.data == {"paid": "5 €", "id": "p1"}
    assert listed(other) == []


@pytest.mark.parametrize("kind", sorted(NOTICES))
@pytest.mark.parametrize(("smtp", "email"), [(True, "a@example.com"), (True, None), (False, "a@example.com")])
def test_mail_goes_out_where_the_notice_says_so_and_there_is_a_server_and_an_address(
    kind: str, smtp: bool, email: str | None
) -> None:
    who = account()
    address(who, email)
    with environment(MAIL if smtp else {}):
        told(who, kind, title="x", body="y")
    sent = rows("select event_type, event_number from deliveries where channel = 'email' and account_id = %s", who)
    assert sent == ([(kind, 1)] if NOTICES[kind].mail and smtp and email else [])
    assert len(listed(who)) == 1


def test_a_notification_goes_with_the_event_that_was_undone() -> None:
    who = account()
    with pytest.raises(ZeroDivisionError), transaction() as conn:
        events.add(conn, who, "announcement", {"title": "x", "body": "y"})
        raise ZeroDivisionError
    assert listed(who) == []


# Reading them


def test_notifications_are_listed_newest_first_page_by_page_and_by_account() -> None:
    who, other = account(), account()
    for number in range(4):
        told(who, title=str(number), body="x")
    told(other)
    assert [each.title for each in listed(who, limit=3)] == ["3", "2", "1"]
    assert [each.title for each in listed(who, before=listed(who, limit=3)[-1].id)] == ["0"]
    assert listed(uuid4()) == []


def test_what_was_read_keeps_its_hour_and_is_counted_no_more() -> None:
    who = account()
    for number in range(3):
        told(who, title=str(number), body="x")
    newest, middle, _ = listed(who)
    assert unread(who) == 3
    with transaction() as conn:
        notifications.read(conn, who, middle.id)
    when = one("select read_at from notifications where id = %s", middle.id)
    with environment({"CLOCK_OFFSET_SECONDS": "60"}), transaction() as conn:
        notifications.read(conn, who, middle.id)
    assert one("select read_at from notifications where id = %s", middle.id) == when
    assert unread(who) == 2
    assert [each.title for each in listed(who, unread=True)] == ["2", "0"]
    assert [each.title for each in listed(who, unread=True, before=newest.id)] == ["0"]
    with transaction() as conn:
        assert notifications.read_all(conn, who) == 2
        assert notifications.read_all(conn, who) == 0
    assert one("select read_at from notifications where id = %s", middle.id) == when
    assert (unread(who), listed(who, unread=True)) == (0, [])


def test_another_accounts_notification_is_not_read() -> None:
    who, stranger = account(), account()
    told(who)
    [shown] = listed(who)
    for reader, which in ((stranger, shown.id), (who, uuid4())):
        with pytest.raises(NotFound), transaction() as conn:
            notifications.read(conn, reader, which)
    with transaction() as conn:
        assert notifications.read_all(conn, stranger) == 0
    assert unread(who) == 1


def test_unread_ones_are_counted_to_a_thousand() -> None:
    who = account()
    change(
        """insert into notifications (id, account_id, event_number, kind, title, body, data)
           select gen_random_uuid(), %s, n, 'announcement', 'x', 'y', '{}' from generate_series(1, 1001) n""",
        who,
    )
    assert unread(who) == 1000


def test_old_notifications_are_forgotten_oldest_first_and_read_or_not() -> None:
    who, days = account(), settings().notification_days
    for number in range(4):
        told(who, title=str(number), body="x")
    for number, age in enumerate((days + 1, days + 3, days + 2, days - 1)):
        change(
            "update notifications set created_at = app_now() - make_interval(days => %s) where title = %s",
            age,
            str(number),
        )
    with transaction() as conn:
        assert notifications.forget(conn, 2) == 2
    assert [each.title for each in listed(who)] == ["3", "0"]
    with transaction() as conn:
        assert notifications.forget(conn, 5) == 1
        assert notifications.forget(conn, 5) == 0
    assert [each.title for each in listed(who)] == ["3"]
