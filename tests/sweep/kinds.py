"""The kinds of jobs that are swept: for each its model, and what processes of ours do for it, step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

PICTURE = {"type": "string", "maxLength": 100_000, "format": "uri"}
FIELDS: dict[str, Any] = {
    "prompt": {"type": "string", "maxLength": 200},
    "count": {"type": "integer", "minimum": 1, "maximum": 8},
}


@dataclass(frozen=True)
class Kind:
    """`mute`: the provider cannot be asked about a lost answer, so that some windows remain (border.md, section 5)."""

    name: str
    play: Callable[[Any], None]
    provider: str = "sketch"
    model: str = "image"
    media: str = "image"
    options: dict[str, Any] = field(default_factory=dict)
    price: dict[str, Any] = field(default_factory=lambda: {"unit": "job", "credits": 2})
    values: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)  # of the catalogue's entry
    fields: dict[str, Any] = field(default_factory=dict)  # more of the input
    mute: bool = False
    ends: tuple[str, ...] = ("succeeded",)
    charged: int | None = 2  # where it succeeds
    outputs: int = 1
    credits: int = 100
    prepare: Callable[[Any], None] | None = None  # before each round without faults
    after: Sequence[str] = ()  # duties at the end
    check: Callable[[Any], None] | None = None

    def entry(self) -> dict[str, Any]:
        """The catalogue's entry."""
        schema = {
            "type": "object", "additionalProperties": False, "properties": {**FIELDS, **self.fields},
        }  # fmt: skip
        route = {"provider": self.provider, "model": self.model, "options": self.options}
        return {
            "id": self.name, "name": self.name, "kind": self.media, "input_schema": schema, "price": self.price,
            "routes": [route], **self.more,
        }  # fmt: skip


def at_once(run: Any) -> None:
    run.submit(seen=True)
    run.work()


def worked(run: Any) -> None:
    run.submit()
    run.work()


def polled(run: Any) -> None:
    """Started, asked while it is under way, asked when it is done."""
    run.submit()
    run.work()
    run.work()
    ripe(run)
    run.work()


def ripe(run: Any) -> None:
    run.house.far.ripen()
    run.house.book.execute("update generations set ready_at = ready_at - 20000")


SLOW = {"instant": True, "pending": True, "ready_seconds": 10_000, "poll_after_seconds": 0.01, "cost_usd_micros": 3}

_ALL = [
    Kind("once", at_once, options={"instant": True, "cost_usd_micros": 3}),
    Kind("once-mute", worked, options={"instant": True, "recovery": "none", "cost_usd_micros": 3}, mute=True),
    Kind("polled", polled, options=SLOW),
    Kind("several", worked, options={"instant": True}, values={"count": 3}, outputs=3),
    Kind("openai", worked, "openai", "b64", mute=True),
    Kind("openai-url", worked, "openai", "url", mute=True),
]

KINDS = {kind.name: kind for kind in _ALL}
