"""A job's story as people read it: one line of time, the phases of its way, and what it cost. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from api.sites.wording import counted_as, dollars, entry_look, lasting_seconds, number, plainly, size
from models.operations.story import Story, StoryAct, StoryAttempt, StoryDelivery

PHASE_WIDTH = 437  # of the drawing, in its own units
PHASE_LEAST = 6  # of a phase that took no time worth a line
EVENT_TEXTS = {
    "job.output": "A part of the result is there", "job.succeeded": "Succeeded", "job.failed": "Failed", "job.canceled": "Canceled"
}  # fmt: skip


class StoryMoment(NamedTuple):
    """One thing on the line of time."""

    at: datetime
    kind: str  # step, money, told or act: which can be hidden
    look: str
    icon: str
    title: str
    text: str = ""
    quote: str = ""  # somebody else's words
    copied: str = ""  # an id to copy
    minor: bool = False


class Phase(NamedTuple):
    """A piece of a job's way, as a part of a drawing."""

    look: str
    word: str
    seconds: float
    x: int
    width: int


def story_moments(story: Story) -> list[StoryMoment]:
    """What happened, oldest first."""
    parts = [*_steps(story), *_money(story), *_told(story), *(_act(each) for each in story.acts)]
    return sorted(parts, key=lambda each: each.at)


def _steps(story: Story) -> Iterator[StoryMoment]:
    job = story.job
    with_what = "By its person, signed in." if job.api_key_id is None else "With a key of the account."
    yield StoryMoment(
        job.created_at,
        "step",
        "queued",
        "flag",
        "Ordered",
        with_what + (" A retry of an earlier job." if job.retry_of else ""),
    )
    for each in story.attempts:
        yield from _attempt(each)
    if story.run is not None and story.run.cancel_requested_at is not None:
        yield StoryMoment(
            story.run.cancel_requested_at,
            "step",
            "canceled",
            "canceled",
            "Asked to cancel",
            "It ends as soon as its attempt lets it.",
        )
    if job.ended is not None and job.ended_at is not None:
        results = counted_as(len(story.results), "result") if story.results else ""
        text = {"succeeded": f"{results} stored." if results else "", "canceled": "Its slot is free again."}.get(
            job.ended, ""
        )
        code = f"{plainly(job.error_code)}. " if job.error_code else ""
        yield StoryMoment(
            job.ended_at,
            "step",
            job.ended,
            job.ended,
            job.ended.capitalize(),
            code.capitalize() + text,
            job.error_message or "",
        )


def _attempt(each: StoryAttempt) -> Iterator[StoryMoment]:
    name = f"Attempt {each.number} at {each.provider}"
    own = " With the account's own key." if each.own_key else ""
    yield StoryMoment(
        each.started_at, "step", "running", "attempt", f"{name} began", f"Route {each.route + 1} of the model.{own}",
        copied=each.provider_job_id or "",
    )  # fmt: skip
    if each.ended_at is None:
        return
    took = lasting_seconds((each.ended_at - each.started_at).total_seconds())
    cost = f" Cost {dollars(each.cost_usd_micros)}." if each.cost_usd_micros else ""
    charged = {True: " Charged.", False: " Not charged.", None: ""}[each.charged]
    if each.phase == "done":
        yield StoryMoment(
            each.ended_at, "step", "succeeded", "store", f"{name} brought the result", f"After {took}.{cost}"
        )
        return
    word = {"failed": "failed", "abandoned": "was given up, its outcome unknown"}.get(each.phase, plainly(each.phase))
    code = f" {plainly(each.error_code).capitalize()}." if each.error_code else ""
    yield StoryMoment(
        each.ended_at, "step", "failed" if each.phase == "failed" else "reconciling", "failed" if each.phase == "failed" else "reconciling",
        f"{name} {word}", f"After {took}.{code}{charged}{cost}", each.error_message or "",
    )  # fmt: skip


def _money(story: Story) -> Iterator[StoryMoment]:
    for each in story.entries:
        look, icon, word = entry_look(each.kind)
        title = f"{number(each.amount)} {'credit' if each.amount == 1 else 'credits'} {word.lower()}"
        text = f"{each.from_bucket} → {each.to_bucket}; available after {number(each.available_after)}"
        yield StoryMoment(each.created_at, "money", look, icon, title, text, minor=True)


def _told(story: Story) -> Iterator[StoryMoment]:
    for event in story.events:
        if event.type in {"job.queued", "job.succeeded", "job.failed", "job.canceled"}:
            continue  # what they tell stands on the line already
        title = EVENT_TEXTS.get(event.type, plainly(event.type).capitalize())
        yield StoryMoment(
            event.created_at,
            "step",
            "running",
            "running",
            title,
            f"Event {number(event.number)} of the account.",
            minor=True,
        )
    for each in story.deliveries:
        yield from _tries(each)


def _tries(delivery: StoryDelivery) -> Iterator[StoryMoment]:
    for place, tried in enumerate(delivery.log, 1):
        at = _moment(tried.get("at"))
        if at is None:
            continue
        status, error = tried.get("status"), tried.get("error")
        fine = isinstance(status, int) and 200 <= status < 300 and not error
        took = tried.get("milliseconds")
        took_text = f" after {number(took)} ms" if isinstance(took, int | float) else ""
        said = f"{status}{took_text}" if status is not None else f"No answer{took_text}"
        word = "delivered" if fine else "not delivered"
        again = "" if fine or delivery.status != "pending" or place < len(delivery.log) else " Tried again later."
        yield StoryMoment(
            at, "told", "succeeded" if fine else "failed", "webhooks", f"{delivery.event_type} {word}",
            f"{said}, try {place}.{again}", str(error or ""),
        )  # fmt: skip


def _moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _act(act: StoryAct) -> StoryMoment:
    reason = act.details.get("reason")
    return StoryMoment(
        act.at, "act", "plain", "acts", f"An operator: {plainly(act.action)}", f"By {act.actor}.", str(reason or "")
    )


def story_phases(story: Story, now: datetime) -> list[Phase]:
    """Where the time went: waiting, attempts one after the other, and what lay between and behind them."""
    job, until = story.job, story.job.ended_at or now
    pieces: list[tuple[str, str, float]] = []
    place = job.created_at

    def add(look: str, word: str, to: datetime) -> None:
        nonlocal place
        if to > place:
            pieces.append((look, word, (to - place).total_seconds()))
            place = to

    for each in story.attempts:
        add("queued", "Waited" if each.number == 1 else "Waited again", each.started_at)
        look = {"done": "succeeded", "failed": "failed", "abandoned": "reconciling", "unknown": "reconciling"}.get(
            each.phase, "running"
        )
        add(look, f"Attempt {each.number}", min(each.ended_at or until, until))
    if job.ended is None and not story.attempts:
        add("queued", "Waits", until)
    add("plain", "Ending" if job.ended else "Now", until)
    total = sum(seconds for _, _, seconds in pieces) or 1.0
    free = PHASE_WIDTH - PHASE_LEAST * len(pieces)
    phases, x = list[Phase](), 0
    for look, word, seconds in pieces:
        width = PHASE_LEAST + int(free * seconds / total)
        phases.append(Phase(look, word, seconds, x, max(PHASE_LEAST - 2, width - 2)))
        x += width
    return phases


def story_summary(story: Story, now: datetime) -> str:
    """What became of a job, in one line."""
    job = story.job
    if job.ended_at is None:
        return f"Ordered {lasting_seconds((now - job.created_at).total_seconds())} ago; {number(job.price_credits)} credits are reserved."
    took = lasting_seconds((job.ended_at - job.created_at).total_seconds())
    settled = job.charged_credits or 0
    files = (
        f"{counted_as(len(story.results), 'result')}, {size(sum(each.size_bytes for each in story.results))}. "
        if story.results
        else ""
    )
    return f"{files}After {took}. {number(settled)} credits settled, {number(job.price_credits - settled)} refunded."


def story_cost(story: Story) -> int | None:
    """What providers took for it, in millionths of a dollar. None: nobody has said."""
    known = [each.cost_usd_micros for each in story.attempts if each.cost_usd_micros is not None]
    return sum(known) if known else None
