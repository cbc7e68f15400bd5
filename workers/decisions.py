"""What a step decides, from values alone. Pure."""

from enum import StrEnum

from models.ending import NewAsset
from models.runs import Claim
from workers.providers.base import ProviderError
from workers.routing import route_after


class Next(StrEnum):
    """What a claimed job needs now."""

    START = "start"
    POLL = "poll"
    RECOVER = "recover"  # a call was written down, and whether it was made is not known
    CANCEL = "cancel"
    TIME_OUT = "time_out"


def next_step(claim: Claim) -> Next:
    """Decide from the row alone."""
    if claim.begins:
        return Next.START
    if claim.live is not None and claim.live.phase != "accepted":
        return Next.RECOVER
    if claim.cancel_requested:
        return Next.CANCEL
    return Next.TIME_OUT if claim.live is None or claim.seconds_left <= 0 else Next.POLL


def back_off_seconds(tries: int, *, base: float, ceiling: float, chance: float) -> float:
    """Exponential back-off with full jitter above half: `chance` is a number from 0 to 1."""
    whole = min(ceiling, base * 2.0 ** max(0, tries - 1))
    return whole * (0.5 + chance / 2)


def measured_quantity_milli(unit: str, reserved_milli: int, assets: list[NewAsset], usage: dict[str, int]) -> int:
    """How much was really made, in thousandths of the price's unit; what cannot be measured is what was reserved."""
    if unit == "image":
        return 1000 * len(assets)
    if unit == "second" and all(asset.duration_ms is not None for asset in assets):
        return sum(asset.duration_ms or 0 for asset in assets)
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


def says_nothing(claim: Claim, phase: str, error: ProviderError) -> bool:
    """Whether a refusal leaves open what became of the generation: it turned the question away, not the generation.

    To take it for a failure would start another one, and pay for both.
    """
    if claim.begins:
        return False  # nothing was begun before
    if phase == "accepted":
        return error.limited
    return error.limited or (error.refused_call and (error.retryable or error.elsewhere))
