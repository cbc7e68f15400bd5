"""What becomes of an article when it is published, taken back, deleted and restored. Pure."""

from datetime import datetime, timedelta
from typing import NamedTuple

from common.errors import InvalidInput, NotFound
from models.content.tables import NEWS_KINDS, ArticleState

FIRST_MOMENT = "1970-01-01T00:00:00+00:00"
AHEAD = timedelta(days=3660)  # ten years


class ArticleStanding(NamedTuple):
    """Whether an article is published, and the date that it bears."""

    state: ArticleState
    published_at: datetime | None


def published(before: ArticleStanding, now: datetime, at: datetime | None = None) -> ArticleStanding:
    """After it was published: from `at` on, or now. One that is shown already keeps its date unless another is given; one
    that was taken back gets a new one. Raises InvalidInput, NotFound.
    """
    _check_there(before)
    if at is not None:
        if not datetime.fromisoformat(FIRST_MOMENT) <= at <= now + AHEAD:
            raise InvalidInput(f"at must be between {FIRST_MOMENT[:10]} and ten years from now", param="at")
        return ArticleStanding("published", at)
    if before.state == "published" and before.published_at is not None and before.published_at <= now:
        return before
    return ArticleStanding("published", now)


def taken_back(before: ArticleStanding) -> ArticleStanding:
    """After its publishing was taken back: a draft that keeps its date. Raises NotFound."""
    _check_there(before)
    return before._replace(state="draft")


def deleted(before: ArticleStanding) -> ArticleStanding:
    """After it was deleted."""
    return before._replace(state="deleted")


def restored(before: ArticleStanding) -> ArticleStanding:
    """After it was restored: a draft, so that nothing is shown that nobody has looked at."""
    return before._replace(state="draft") if before.state == "deleted" else before


def _check_there(before: ArticleStanding) -> None:
    if before.state == "deleted":
        raise NotFound("this article is deleted; restore it first", param="id")


def shelves(section: str, kind: str | None, tags: list[str]) -> list[str]:
    """The names of all lists that a published article stands in."""
    return [shelf_of(part, tag) for part in {None, section, kind} for tag in (None, *tags)]


def shelf_of(part: str | None = None, tag: str | None = None) -> str:
    """The list of a section or a kind of news, of a tag, or of both. No tag has a slash."""
    return f"{part or ''}/{tag or ''}"


def part_of_list(section: str | None, kind: str | None) -> str | None:
    """The section or kind that a list is of. Raises InvalidInput for kinds of what has none."""
    if kind is not None and section not in (None, "news"):
        raise InvalidInput(f"only news have a kind: {', '.join(NEWS_KINDS)}", param="kind")
    return kind or section
