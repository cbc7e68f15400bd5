"""Lines of JSON Lines that the document does not name."""

from typing import Any

from pydantic import Field

from headrace_client._base import Shape
from headrace_client.models import JobError, Output


class BatchResult(Shape):
    """A line of a batch: what became of it. `status` is `refused` where nothing was ordered."""

    number: int
    custom_id: str | None = None
    job: str | None = None
    status: str
    model: str | None = None
    credits: Any = None
    outputs: list[Output] = Field(default_factory=list)
    error: JobError | None = None
