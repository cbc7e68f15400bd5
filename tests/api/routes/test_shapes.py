"""Moments and days are taken as they are written in the document, and not as counts of seconds."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from api.routes.shapes import Day, Moment

MOMENTS: TypeAdapter[datetime] = TypeAdapter(Moment)
DAYS: TypeAdapter[date] = TypeAdapter(Day)


@pytest.mark.parametrize(("written", "meant"), [
    ("2026-11-28T14:00:00Z", datetime(2026, 11, 28, 14, tzinfo=UTC)),
    ("2026-11-28T14:00:00+07:00", datetime(2026, 11, 28, 7, tzinfo=UTC)),
    ("2026-11-28T14:00:00.25", datetime(2026, 11, 28, 14, 0, 0, 250_000, tzinfo=UTC)),
    ("2026-11-28 14:00", datetime(2026, 11, 28, 14, tzinfo=UTC)),
    ("2026-11-28", datetime(2026, 11, 28, tzinfo=UTC)),
])  # fmt: skip
def test_a_moment_is_in_utc(written: str, meant: datetime) -> None:
    assert MOMENTS.validate_python(written) == meant


@pytest.mark.parametrize(
    "written", ["0.5", "1764338400", "-1", "1e9", "", "now", 0, 0.5, 1764338400, True, [], {}, None]
)
def test_a_count_of_seconds_is_no_moment_and_no_day(written: Any) -> None:
    for shape in (MOMENTS, DAYS):
        with pytest.raises(ValidationError, match="is written as 2026-11-28"):
            shape.validate_python(written)


@pytest.mark.parametrize("written", ["9999-12-31T23:59:59-01:00", "2026-11-31T00:00:00Z", "2026-11-28T25:00:00Z"])
def test_a_moment_that_does_not_exist_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        MOMENTS.validate_python(written)


def test_a_day_is_a_day() -> None:
    assert DAYS.validate_python("2026-02-28") == date(2026, 2, 28)
    for written in ("2026-02-30", "2026-02-28T00:00:00Z", "26-02-28"):
        with pytest.raises(ValidationError):
            DAYS.validate_python(written)
