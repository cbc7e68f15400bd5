"""The address that an order brings, in Replicate's words: what is told there, and when."""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from common.errors import InvalidInput
from models.events import endpoints
from models.events.kinds import JOB_ENDS

HookEvent = Literal["start", "output", "logs", "completed"]
# What of our own is told where these are asked for. A log is one line, and its last is there when all else is.
MEANT: dict[str, tuple[str, ...]] = {
    "start": ("job.queued",),
    "output": ("job.output",),
    "logs": ("job.output", *JOB_ENDS),
    "completed": JOB_ENDS,
}
UNASKED: tuple[HookEvent, ...] = ("output", "completed")
DIALECT = "replicate"


def hook_of(
    account_id: UUID, webhook: str | None, wanted: Sequence[HookEvent] | None, completed: str | None
) -> dict[str, Any] | None:
    """What a job keeps of its address. `completed` is the older word for an address that hears of the end alone. Raises
    InvalidInput.
    """
    if webhook is None and completed is None:
        if wanted:
            raise InvalidInput("webhook_events_filter needs a webhook to send them to", param="webhook_events_filter")
        return None
    if webhook is not None and completed not in (None, webhook):
        raise InvalidInput(
            "webhook_completed: a prediction tells one address; leave it out, or name the same as webhook",
            param="webhook_completed",
        )
    asked: Sequence[HookEvent] = (wanted or UNASKED) if webhook is not None else ("completed",)
    if completed is not None:
        asked = (*asked, "completed")
    events = [event for each in asked for event in MEANT[each]]
    return endpoints.for_job(account_id, webhook or completed or "", events, dialect=DIALECT)
