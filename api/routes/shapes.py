"""What the shapes of all resources are made of."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from models.access.audit_log import MAX_REASON


class RequestBody(BaseModel):
    """The body of a request. A field that is not known is refused: a misspelt one would be left out without a word."""

    model_config = ConfigDict(extra="forbid")


def _in_utc(moment: datetime) -> datetime:
    """A moment near the end of the calendar is beyond it in another zone, and could be stored and never read again."""
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the calendar in UTC") from None


def _day_as_written(value: Any) -> Any:
    if not isinstance(value, date) and not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", str(value)):
        raise ValueError("a day is written as 2026-11-28")
    return value


def _moment_as_written(value: Any) -> Any:
    if not isinstance(value, date) and not re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}", str(value)):
        raise ValueError("a moment is written as 2026-11-28T14:00:00Z")
    return value


# A count of seconds is a moment and a day to pydantic, and to nobody who reads the document.
Day = Annotated[date, BeforeValidator(_day_as_written)]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment_as_written),
    AfterValidator(_in_utc),
    Field(description="Without an offset: UTC."),
]
Reason = Annotated[
    str, Field(min_length=1, max_length=MAX_REASON, pattern=r"\S", description="Why, for the audit log.")
]
