"""What a step decides, from values alone. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from common import uptime
from common.settings import settings
from models.jobs.ending import NewAsset
from models.jobs.states import UNANSWERED_PHASES, AttemptPhase
from models.jobs.steps import Claim
from storage.media import kind_of
from workers.calls.routing import route_after
from workers.providers.base import Pending, ProviderError

LATE_TRIES = 3  # in vain after a limit, and the attempt is given up
# How much of an attempt's age the pause between two polls may grow to: by so much at most a result is seen later.
POLL_SHARE, POLL_SHARE_WHEN_CALLED_BACK = 1 / 20, 1 / 4
LONGER_WHEN_CALLED_BACK = 5  # than POLL_MAX_SECONDS: a call back that was lost delays a job by no more


class Next(StrEnum):
    """What a claimed job needs now."""

    START = "start"
    POLL = "poll"
    RECOVER = "recover"  # a call was written down, and whether it was made is not known
    COLLECT = "collect"  # the provider has answered with the result
    CANCEL = "cancel"
    TIME_OUT = "time_out"
    FAIL = "fail"  # the last attempt has failed, and there is to be no other


def next_step(claim: Claim) -> Next:
    """Decide from the row alone."""
    if claim.begins:
        return Next.START
    phase = claim.live.phase if claim.live is not None else None
    if phase == AttemptPhase.DELIVERED:
        return Next.COLLECT
    if phase in UNANSWERED_PHASES:
        return Next.RECOVER
    if claim.cancel_requested:
        return Next.CANCEL
    if phase is None and claim.exhausted:
        return Next.FAIL  # also when it is late: its last attempt's own word says more than that
    if claim.seconds_left <= 0:
        return Next.TIME_OUT
    return Next.POLL if phase is not None else Next.FAIL


def back_off_seconds(tries: int, *, base: float, ceiling: float, chance: float) -> float:
    """Exponential back-off with full jitter above half: `chance` is a number from 0 to 1."""
    whole = min(ceiling, base * 2.0 ** max(0, tries - 1))
    return whole * (0.5 + chance / 2)


def poll_pause(pending: Pending, age_seconds: float) -> float:
    """When to ask again about what its provider is at: the older it is, the later, as news of it is less urgent. Never sooner
    than the adapter wants, and exactly then where the provider or the route has said so.
    """
    if pending.exact:
        return pending.poll_after_seconds
    share, ceiling = POLL_SHARE, settings().poll_max_seconds
    if pending.calls_back:
        share, ceiling = POLL_SHARE_WHEN_CALLED_BACK, ceiling * LONGER_WHEN_CALLED_BACK
    return max(pending.poll_after_seconds, min(age_seconds * share, ceiling))


def measured_quantity_milli(
    unit: str, reserved_milli: int, assets: Sequence[NewAsset], usage: Mapping[str, int]
) -> int:
    """How much was really made, in thousandths of the price's unit; what cannot be measured is what was reserved.

    What came besides (a text beside a picture, a cover beside a song) is not counted.
    """
    if unit == "image" and (pictures := [each for each in assets if kind_of(each.media_type) == "image"]):
        return 1000 * len(pictures)
    lasting = [each for each in assets if kind_of(each.media_type) in {"video", "speech"}]
    if unit == "second" and lasting and all(each.duration_ms is not None for each in lasting):
        return sum(each.duration_ms or 0 for each in lasting)
    if unit == "token" and "tokens" in usage:
        return 1000 * usage["tokens"]
    return reserved_milli


def again_by(claim: Claim, route: int, error: ProviderError) -> int | None:
    """By which route a failed attempt is followed by another; None: the job has failed."""
    routes = len(claim.entry.routes)
    following = route_after(routes, route, error)
    if error.limited:
        return following
    worth_it = error.retryable or following != route
    left = claim.attempts_spent < claim.entry.max_attempts and claim.seconds_left > 0
    return following if worth_it and left else None


def outcome_still_unknown(claim: Claim, phase: str, error: ProviderError) -> bool:
    """Whether a refusal leaves open what became of the generation: it turned the question away, not the generation.

    To take it for a failure would start another one, and pay for both.
    """
    if claim.begins:
        return False  # nothing was begun before
    if phase == AttemptPhase.ACCEPTED:
        # What has just been begun may not be known everywhere at its provider yet.
        return error.limited or (error.code == "unknown_job" and not is_quiet(claim))
    return error.limited or (error.refused_call and (error.retryable or error.elsewhere))


def is_stop(error: ProviderError) -> bool:
    """Whether a provider's word on a generation that it was asked to stop is that it did, or has forgotten it."""
    return error.code in {"canceled", "timed_out", "unknown_job"}


def is_unwanted(claim: Claim) -> bool:
    """Whether its result would be dropped and refunded."""
    return claim.cancel_requested and claim.entry.on_cancel == "refund"


def has_met_a_limit(claim: Claim) -> bool:
    """Whether the database's clock says that the job, or the wait for its lost answer, has taken too long."""
    return claim.seconds_left <= 0 or (
        claim.live is not None and claim.live.age_seconds >= settings().reconcile_seconds
    )


def elapsed_seconds(claim: Claim) -> float:
    """Since the claim."""
    return uptime.seconds() - claim.claimed_at


def tells_nothing_new(claim: Claim, pending: Pending) -> bool:
    """Whether what is known of the attempt stays as it is, but for its progress."""
    live = claim.live
    return live is not None and live.phase == AttemptPhase.ACCEPTED and live.provider_job_id == pending.provider_job_id


def is_quiet(claim: Claim) -> bool:
    """Whether no request of the attempt's beginner can be on its way any more: its lease has lapsed, and once more so long."""
    return claim.live is not None and claim.live.age_seconds > 2 * settings().lease_seconds


def was_last(claim: Claim) -> bool:
    """Whether a try after the limit was the last of those that are made for nothing. One alone may have met a bad moment:
    where we were away when the limit came, it is the first for long.
    """
    return claim.late_tries + 1 >= LATE_TRIES


def is_late(claim: Claim) -> bool:
    """Whether this claim has asked about a lost answer after its limit."""
    return not claim.begins and claim.live is not None and claim.live.age_seconds >= settings().reconcile_seconds


def unknown_pause(claim: Claim, back_off: float) -> float:
    """When to ask again about an attempt whose outcome is unknown, growing with its age to the limit."""
    age, limit = claim.live.age_seconds if claim.live else 0.0, settings().reconcile_seconds
    pause = max(back_off, min(age, limit) / 4)
    return pause if age >= limit else min(max(limit - age - elapsed_seconds(claim), 0.0) + 0.1, pause)


def is_late_at_the_end(claim: Claim) -> bool:
    """Whether this claim has asked after the last time at which a question that is lost is repeated."""
    return claim.seconds_left < -settings().ask_again_seconds


def late_pause(back_off: float) -> float:
    """Between tries after that time: what is away for a moment is to be back by then."""
    return max(back_off, settings().ask_again_seconds / 4)


def fetching_seconds(claim: Claim) -> float:
    """How long one step may fetch results from their addresses: to the time limit, and at least for a while."""
    left = claim.seconds_left - elapsed_seconds(claim)
    return min(settings().fetch_seconds, max(left, settings().collect_seconds))


def is_held_too_long(claim: Claim) -> bool:
    """Whether the time is over for which a result is held that cannot be stored, nor written down."""
    age = claim.live.age_seconds if claim.live else 0.0
    return age + elapsed_seconds(claim) >= settings().store_hours * 3600


def collecting_is_over(claim: Claim, *, fetching: bool) -> tuple[bool, float]:
    """Whether a delivered result is not tried for any longer, and if it is, after how many seconds. What the provider does
    not give is tried for until the time limit, and a while; what we cannot store, for a day.
    """
    age = claim.live.delivered_age_seconds if claim.live else 0.0
    pause = min(60.0, max(settings().retry_base_seconds, age / 4))
    if fetching:
        return claim.seconds_left <= 0 and age >= settings().collect_seconds, pause
    return age >= settings().store_hours * 3600, pause
