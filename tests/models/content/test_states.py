"""What publishing does to dates: the seed's own cases."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInput, NotFound
from models.content import states
from models.content.states import ArticleStanding, part_of_list, shelf_of, shelves

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
BEFORE, AFTER = NOW - timedelta(days=3), NOW + timedelta(days=3)


def test_a_draft_that_is_published_gets_the_date() -> None:
    assert states.published(ArticleStanding("draft", None), NOW) == ("published", NOW)


def test_what_is_taken_back_keeps_its_date() -> None:
    assert states.taken_back(ArticleStanding("published", BEFORE)) == ("draft", BEFORE)


def test_what_is_published_again_gets_a_new_date() -> None:
    assert states.published(ArticleStanding("draft", BEFORE), NOW) == ("published", NOW)


def test_what_is_shown_already_keeps_its_date_unless_another_is_given() -> None:
    shown = ArticleStanding("published", BEFORE)
    assert states.published(shown, NOW) == shown
    assert states.published(shown, NOW, AFTER) == ("published", AFTER)


def test_what_waits_for_its_time_is_shown_at_once_if_it_is_published_without_one() -> None:
    assert states.published(ArticleStanding("published", AFTER), NOW) == ("published", NOW)


def test_what_is_deleted_is_published_and_taken_back_by_nobody_and_comes_back_as_a_draft() -> None:
    gone = states.deleted(ArticleStanding("published", BEFORE))
    assert gone == ("deleted", BEFORE)
    for act in (lambda: states.published(gone, NOW), lambda: states.taken_back(gone)):
        with pytest.raises(NotFound, match="restore it first"):
            act()
    assert states.restored(gone) == ("draft", BEFORE)
    assert states.restored(ArticleStanding("published", BEFORE)) == ("published", BEFORE)


@pytest.mark.parametrize(
    "at", [datetime(1969, 12, 31, tzinfo=UTC), NOW + timedelta(days=3661), datetime(9999, 1, 1, tzinfo=UTC)]
)
def test_a_date_that_no_article_has_is_refused(at: datetime) -> None:
    with pytest.raises(InvalidInput) as refused:
        states.published(ArticleStanding("draft", None), NOW, at)
    assert refused.value.param == "at"


acts = st.sampled_from(["publish", "take back", "delete", "restore"])


@given(st.lists(st.tuples(acts, st.integers(0, 5)), max_size=12))
def test_whatever_is_done_in_whatever_order_a_date_is_only_ever_set_by_publishing(
    doings: list[tuple[str, int]],
) -> None:
    standing, now = ArticleStanding("draft", None), NOW
    for act, days in doings:
        now += timedelta(days=days)
        before = standing
        try:
            if act == "publish":
                standing = states.published(before, now)
            else:
                standing = {"take back": states.taken_back, "delete": states.deleted, "restore": states.restored}[act](
                    before
                )
        except NotFound:
            assert before.state == "deleted"
        assert standing.published_at == (now if act == "publish" and before.state == "draft" else before.published_at)
        assert standing.state != "published" or standing.published_at is not None


def test_an_article_stands_on_every_shelf_that_somebody_may_ask_for() -> None:
    assert sorted(shelves("news", "tool", ["a", "b"])) == sorted(
        shelf_of(part, tag) for part in (None, "news", "tool") for tag in (None, "a", "b")
    )
    assert sorted(shelves("research", None, [])) == ["/", "research/"]
    assert part_of_list("news", "tool") == part_of_list(None, "tool") == "tool"
    with pytest.raises(InvalidInput, match="only news have a kind"):
        part_of_list("research", "tool")
