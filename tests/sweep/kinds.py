"""The kinds of jobs that are swept: for each its model, its play, and how it ends where nothing goes wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.sweep import plays

FIELDS: dict[str, Any] = {
    "prompt": {"type": "string", "maxLength": 200},
    "count": {"type": "integer", "minimum": 1, "maximum": 8},
}
FILE = {"image_url": {"type": "string", "format": "image", "maxLength": 900_000}}


@dataclass(frozen=True)
class Kind:
    """`mute`: the provider cannot be asked about a lost answer, so that some windows remain (border.md, section 5).
    `forgets`: it forgets what nobody listens to, so that a lost answer is a lost result, and another attempt is right.
    """

    name: str
    play: Callable[[Any], None]
    provider: str = "sketch"
    model: str = "image"
    options: dict[str, Any] = field(default_factory=dict)
    media: str = "image"
    price: dict[str, Any] = field(default_factory=lambda: {"unit": "job", "credits": 2})
    values: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)  # of the catalogue's entry
    fields: dict[str, Any] = field(default_factory=dict)  # more of the input
    mute: bool = False
    forgets: bool = False
    tells: bool = False  # it calls back by itself, so that a lost answer is known later
    cancels: bool = False  # its client gives it up, so that what never began may end as canceled
    ripens: bool = True  # its generations are ready at some time
    ends: tuple[str, ...] = ("succeeded",)
    charged: int = 2  # where it succeeds
    given_up: int = 0  # credits that a cancel costs
    outputs: int = 1
    credits: int = 100
    prepare: Callable[[Any], None] | None = None  # before each round without faults
    after: Sequence[str] = ()  # duties at the end
    ages: str = ""  # the table of files that grow old before those duties
    check: Callable[[Any], None] | None = None

    def entry(self) -> dict[str, Any]:
        """The catalogue's entry."""
        schema = {"type": "object", "additionalProperties": False, "properties": {**FIELDS, **self.fields}}
        route = {"provider": self.provider, "model": self.model, "options": self.options}
        return {
            "id": self.name, "name": self.name, "kind": self.media, "input_schema": schema, "price": self.price,
            "routes": [route], "max_attempts": 6, **self.more,
        }  # fmt: skip


def _purged(run: Any) -> None:
    left = run.house.rows("select count(*) from assets where account_id = %s and purged_at is null", run.account_id)
    if left != [(0,)]:
        run.problem("not_purged", f"{left[0][0]} results")


def _uploads_purged(run: Any) -> None:
    left = run.house.rows("select count(*) from uploads where account_id = %s and purged_at is null", run.account_id)
    if left != [(0,)]:
        run.problem("not_purged", f"{left[0][0]} uploads")


def _subscription(run: Any) -> None:
    """Two months were granted, each once; all else was missed, and nothing is left of it."""
    grants = run.house.rows(
        "select count(*), sum(remaining) from grants where account_id = %s and kind = 'plan'", run.account_id
    )
    status = run.house.rows("select status from subscriptions where account_id = %s", run.account_id)
    if grants != [(2, 0)] or status != [("expired",)]:
        run.problem("subscription_wrong", f"{grants[0]} grants and credits left, {status[0][0]}")


def _told(run: Any) -> None:
    """Each event since the endpoint was there has its delivery."""
    events = run.house.rows("select count(*) from events where account_id = %s and job_id is not null", run.account_id)
    told = run.house.rows("select count(distinct event_number) from deliveries where account_id = %s", run.account_id)
    if told[0][0] < (events[0][0] if run.kind.name == "told-endpoint" else 1):
        run.problem("untold", f"{told[0][0]} deliveries of {events[0][0]} events")


def _mailed(run: Any) -> None:
    if not run.house.box.got:
        run.problem("undelivered", "no mail came")


INSTANT = {"instant": True, "cost_usd_micros": 3}
SLOW = {**INSTANT, "pending": True, "ready_seconds": 10_000, "poll_after_seconds": 0.01}
CANCELED, FAILED = ("canceled",), ("failed",)
TOKENS = {"unit": "token", "credits": 1, "per": 1, "quantity_field": "max_tokens"}
MAX_TOKENS = {"max_tokens": {"type": "integer", "minimum": 1, "maximum": 100}}
NOWHERE = {"provider": "nowhere", "model": "b64"}
EDITS: dict[str, Any] = {"provider": "openai", "model": "b64", "fields": FILE, "mute": True}

_ALL = [
    # The provider in our own house, with a book of its own: asked again by our key
    Kind("once", plays.at_once, options=INSTANT),
    Kind("once-mute", plays.worked, options={**INSTANT, "recovery": "none"}, mute=True),
    Kind("polled", plays.polled, options=SLOW),
    Kind("several", plays.worked, options=INSTANT, values={"count": 3}, outputs=3, charged=6,
         price={"unit": "image", "credits": 2, "quantity_field": "count"}),
    Kind("tried-again", plays.tried_again, options={**INSTANT, "fail": "retryable", "fail_times": 1}),
    Kind("hopeless", plays.worked, options={**INSTANT, "fail": "permanent"}, ends=FAILED),
    Kind("timed-out", plays.given_up, options=SLOW, ends=FAILED, ripens=False),
    Kind("canceled-waiting", plays.canceled_waiting, options=INSTANT, ends=CANCELED),
    Kind("canceled-refund", plays.canceled_running, options=SLOW, ends=CANCELED),
    Kind("canceled-charge", plays.canceled_running, options=SLOW, ends=CANCELED, more={"on_cancel": "charge"}, given_up=2),
    Kind("canceled-keep", plays.canceled_ready, options=SLOW, more={"on_cancel": "keep"}, cancels=True),
    Kind("canceled-asking", plays.canceled_asking, "openai", "b64", mute=True, ends=CANCELED),
    Kind("kept-asking", plays.canceled_asking, "openai", "b64", mute=True, more={"on_cancel": "keep"}, cancels=True),
    Kind("rescued", plays.rescued, options=INSTANT),
    Kind("rescued-too-often", plays.rescued_too_often, options=INSTANT, ends=FAILED),
    Kind("ordered-again", plays.ordered_again, options={**INSTANT, "fail": "permanent"}, ends=FAILED),
    Kind("in-line", plays.in_line, options=INSTANT, more={"slots": 1}),
    Kind("fallback", plays.worked, options=INSTANT, mute=True, more={"routes": [NOWHERE, {"provider": "sketch", "model": "image",
                                                                               "options": INSTANT}]}),
    # OpenAI's dialect: cannot be asked about a lost answer
    Kind("openai", plays.worked, "openai", "b64", mute=True),
    Kind("openai-url", plays.worked, "openai", "url", mute=True),
    Kind("openai-several", plays.worked, "openai", "url", mute=True, values={"count": 2}, outputs=2),
    Kind("openai-same", plays.worked, "openai-same", "same"),
    Kind("partial", plays.worked, "openai", "words", media="text", mute=True, price=TOKENS, fields=MAX_TOKENS,
         values={"max_tokens": 50}, charged=11),
    Kind("speech", plays.worked, "openai", "voice", media="speech", mute=True, values={"text": "a lake"},
         fields={"text": {"type": "string"}}),
    # Those with an id, asked for or calling back
    Kind("replicate", plays.polled, "replicate", "owner/slow", mute=True),
    Kind("replicate-wait", plays.worked, "replicate", "owner/quick", {"wait_seconds": 5}, mute=True),
    Kind("replicate-called", plays.called_back, "replicate", "owner/slow", mute=True, tells=True, prepare=plays.called_again),
    Kind("replicate-early", plays.called_early, "replicate", "owner/slow", mute=True, tells=True, prepare=plays.called_again),
    Kind("replicate-canceled", plays.canceled_running, "replicate", "owner/slow", mute=True, ends=CANCELED),
    Kind("fal", plays.polled, "fal", "owner/slow", mute=True),
    Kind("fal-called", plays.called_back, "fal", "owner/slow", mute=True, tells=True, prepare=plays.called_again),
    Kind("fal-canceled", plays.canceled_running, "fal", "owner/slow", mute=True, ends=CANCELED),
    Kind("http", plays.worked, "http", "quick"),
    Kind("http-polled", plays.polled, "http", "slow", {"poll": True}),
    Kind("http-called", plays.called_back, "http", "slow", prepare=plays.called_again),
    Kind("http-early", plays.called_early, "http", "slow", {"poll": True}, prepare=plays.called_again),
    Kind("http-canceled", plays.canceled_running, "http", "slow", {"poll": True}, ends=CANCELED),
    Kind("cog", plays.worked, "cog", "cog", forgets=True),
    # Files of clients
    Kind("with-upload", plays.with_upload, **EDITS),
    Kind("with-address", plays.with_address, **EDITS),
    Kind("with-data", plays.with_data, **EDITS),
    Kind("uploaded", plays.uploaded, check=_uploads_purged, ages="uploads", after=("expire_uploads", "purge_uploads")),
    # What duties and senders do
    Kind("purged", plays.purged, options=INSTANT, check=_purged, ages="assets", after=("expire_results", "purge_results")),
    Kind("reaped", plays.reaped, options=INSTANT),
    Kind("subscribed", plays.subscribed, check=_subscription,
         after=("grant_periods", "expire_subscriptions", "expire_grants")),
    Kind("told-endpoint", plays.told_endpoint, options=INSTANT, check=_told),
    Kind("told-address", plays.told_address, options=INSTANT, check=_told),
    Kind("mailed", plays.mailed, check=_mailed),
]  # fmt: skip

KINDS = {kind.name: kind for kind in _ALL}
