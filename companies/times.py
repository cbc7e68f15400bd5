"""Times as companies write them. One without a zone is UTC, wherever this process runs."""

from datetime import UTC, datetime
from typing import Any


def moment_of(text: Any) -> datetime | None:
    """A moment of ISO 8601; None where there is none. Raises ValueError for what is no time, or beyond the calendar in UTC."""
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise ValueError(f"a time is no {type(text).__name__}")  # noqa: TRY004 - as for a text that is none
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        raise ValueError("a time is beyond the calendar") from None


def in_time(things: Any, name: str) -> list[Any]:
    """Things by the moment that `name` says, the last one last; those that say none come first. Raises ValueError."""
    earliest = datetime.min.replace(tzinfo=UTC)
    return sorted(things, key=lambda each: moment_of(each.get(name)) or earliest)
