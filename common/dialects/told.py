"""A job as it is told in the words of others: what every dialect needs of it, as plain values. Each dialect's own shapes, which
answers and webhooks share, stand beside it.
"""

from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

ToldKind = Literal["image", "video", "speech", "text"]
ToldStatus = Literal["queued", "running", "succeeded", "failed", "canceled"]


class ToldFile(NamedTuple):
    """A stored result, at its permanent address."""

    url: str
    thumbnail_url: str | None
    media_type: str
    size_bytes: int
    width: int | None
    height: int | None
    duration_seconds: float | None
    expires_at: datetime | None

    @property
    def name(self) -> str:
        """As a file: the last part of its address, with what it is."""
        return f"{self.url.rpartition('/')[2].partition('?')[0]}.{self.media_type.rpartition('/')[2].partition('+')[0]}"


class ToldJob(NamedTuple):
    """A job at one moment. `text`: what a text job has brought, where it was read."""

    id: UUID
    model: str
    version: int
    kind: str
    status: ToldStatus
    input: dict[str, Any]
    files: list[ToldFile]
    text: str | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    progress: int | None
    position: int | None  # jobs before it in its account's line, where that is known
    reason: str | None  # what it waits for
    credits: int | None  # what it cost, once it has ended
    outputs: str | None = None  # how its model's results are told: `one` or `list`; None: by its kind

    @property
    def brings_one(self) -> bool:
        """Whether its program expects one file, not a list."""
        return self.outputs == "one" or (self.outputs is None and self.kind != "image")

    @property
    def has_ended(self) -> bool:
        return self.ended_at is not None

    @property
    def seconds(self) -> float | None:
        """From its start to its end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())
