"""What the shapes of all resources are made of."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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


Moment = Annotated[datetime, AfterValidator(_in_utc), Field(description="Without an offset: UTC.")]
Reason = Annotated[
    str, Field(min_length=1, max_length=MAX_REASON, pattern=r"\S", description="Why, for the audit log.")
]
