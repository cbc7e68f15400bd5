"""The life of a job, one step at a time (DESIGN section 3).

`advance` looks at the job's row, does what is next, and commits; it could be killed after any line. What is decided
is decided in `next_step` and `after_failure`, which touch nothing; the rest carries it out.
"""

import logging
import random
from collections.abc import Callable
from enum import StrEnum
from typing import Any
from uuid import UUID

from common.faultpoints import reached
from models import ending, prices, runs
from models.db import single, transaction
from models.ending import AttemptEnd, Ended, Ending, NewAsset
from models.runs import Claim
from models.settings import settings
from storage.media import UnusableResult
from storage.s3 import StorageError
from workers.collect import LeaseLost, collect, discard
from workers.enqueue import ring
from workers.leases import Hold, Keeper
from workers.providers.base import Done, Outcome, OutcomeUnknown, Pending, Provider, ProviderError, Request
from workers.providers.registry import provider as find_provider

log = logging.getLogger(__name__)

# Where the fault tests kill a worker: between every two steps of a job's life.
FAULT_POINTS = (
    "claimed",
    "intended",
    "started",
    "accepted",
    "polled",
    "uploaded",
    "settled",
    "failed",
    "put_back",
)


class Next(StrEnum):
    """What a claimed job needs now."""

    START = "start"
    POLL = "poll"
    RECOVER = "recover"  # a call was written down, and whether it was made is not known
    CANCEL = "cancel"
    TIME_OUT = "time_out"


def next_step(claim: Claim) -> Next:
    """Decide from the row alone."""
    if claim.live is None:
        if claim.cancel_requested:
            return Next.CANCEL
        return Next.TIME_OUT if claim.seconds_left <= 0 else Next.START
    if claim.live.phase != "accepted":
        return Next.RECOVER
    if claim.cancel_requested:
        return Next.CANCEL
    return Next.TIME_OUT if claim.seconds_left <= 0 else Next.POLL


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


class Advance:
    """Does steps for one worker process."""

    def __init__(self, worker_id: str, keeper: Keeper, chance: Callable[[], float] = random.random) -> None:
        self._worker_id = worker_id
        self._keeper = keeper
        self._chance = chance

    def __call__(self, job_id: UUID) -> None:
        """Do the job's next step, if one is due."""
        with single() as conn:
            claim = runs.claim(conn, job_id, self._worker_id)
        if claim is None:
            return
        reached("claimed")
        with self._keeper.hold(claim) as hold:
            try:
                self._step(hold)
            except LeaseLost:
                log.info("job %s was taken over by another worker", job_id)

    def _step(self, hold: Hold) -> None:
        match next_step(hold.claim):
            case Next.START:
                self._start(hold)
            case Next.POLL:
                self._poll(hold)
            case Next.RECOVER:
                self._recover(hold)
            case Next.CANCEL:
                self._stop(hold, Ending("canceled", cost_credits=self._cancel_cost(hold.claim)))
            case Next.TIME_OUT:
                limit = hold.claim.entry.timeout_seconds
                self._stop(hold, Ending("failed", error_code="timed_out", error_message=f"not done in {limit} seconds"))

    # Asking the provider

    def _start(self, hold: Hold) -> None:
        claim, route = hold.claim, 0
        provider = find_provider(claim.entry.routes[route].provider)
        with single() as conn:
            number = runs.begin_attempt(conn, claim, provider=provider.name, route=route)
        if number is None:
            return  # canceled or rescued since the claim
        reached("intended")
        request = self._request(hold, route)
        self._handle(hold, number, lambda: provider.start(request, _key(claim.job_id, number)))

    def _poll(self, hold: Hold) -> None:
        provider, request, number = self._live(hold)
        assert hold.claim.live is not None  # noqa: S101 - next_step said so
        provider_job_id = hold.claim.live.provider_job_id or ""
        self._handle(hold, number, lambda: provider.poll(request, provider_job_id))

    def _recover(self, hold: Hold) -> None:
        """A call was written down and its answer is not known: ask, or repeat where that is the same call, never guess."""
        provider, request, number = self._live(hold)
        key = _key(hold.claim.job_id, number)
        match provider.recovery(request):
            case "idempotent":
                self._handle(hold, number, lambda: provider.start(request, key))
            case "lookup":
                self._handle(hold, number, lambda: provider.lookup(request, key))
            case _:
                self._wait_or_give_up(hold, number, "the provider cannot be asked about a lost answer")

    def _handle(self, hold: Hold, number: int, ask: Callable[[], Outcome | None]) -> None:
        """Ask, and carry out what the answer means."""
        try:
            outcome = ask()
        except ProviderError as error:
            self._failed(hold, number, error)
            return
        except OutcomeUnknown as error:
            self._unknown(hold, number, str(error) or "the provider's answer was lost")
            return
        except Exception as error:
            # A fault of ours after the call may have been made: whether it was is not known.
            log.exception("job %s: asking the provider failed unexpectedly", hold.claim.job_id)
            self._unknown(hold, number, f"unexpected {type(error).__name__}")
            return
        if outcome is None:
            self._never_began(hold, number)
        elif isinstance(outcome, Pending):
            reached("started" if hold.claim.live is None else "polled")
            self._wait(hold, number, outcome)
        else:
            reached("started" if hold.claim.live is None else "polled")
            self._finish(hold, number, outcome)

    def _wait(self, hold: Hold, number: int, pending: Pending) -> None:
        with single() as conn:
            runs.wait_for_provider(
                conn,
                hold.claim,
                number,
                provider_job_id=pending.provider_job_id,
                after_seconds=pending.poll_after_seconds,
                progress=pending.progress,
            )
        reached("accepted")

    # What the answer means

    def _finish(self, hold: Hold, number: int, done: Done) -> None:
        claim = hold.claim
        try:
            assets = collect(hold, done.outputs)
        except UnusableResult as error:
            self._failed(
                hold,
                number,
                ProviderError(
                    error.code, str(error), retryable=True, charged=True, cost_usd_micros=done.cost_usd_micros
                ),
            )
            return
        except StorageError as error:
            self._unstored(hold, number, error)
            return
        reached("uploaded")
        usage = dict(done.usage)
        quantity = measured_quantity_milli(claim.entry.price.unit, claim.quantity_milli, assets, usage)
        attempt = AttemptEnd(
            number, "done", charged=bool(done.cost_usd_micros), cost_usd_micros=done.cost_usd_micros, usage=usage
        )
        ended = self._end(
            hold,
            Ending(
                "succeeded",
                cost_credits=prices.credits_for(prices.Rate(*claim.rate), quantity),
                assets=assets,
                result_hours=claim.entry.result_hours,
                attempt=attempt,
            ),
        )
        if ended is None or ended.ended != "succeeded":
            discard(claim, assets)

    def _failed(self, hold: Hold, number: int, error: ProviderError) -> None:
        claim = hold.claim
        attempt = AttemptEnd(
            number, "failed", error.code, error.message[:1000], charged=error.charged,
            cost_usd_micros=error.cost_usd_micros,
        )  # fmt: skip
        spent = claim.attempts_spent + (0 if claim.live else 1)
        again = error.retryable and spent < claim.entry.max_attempts and claim.seconds_left > 0
        if error.limited or again:
            pause = error.retry_after_seconds or self._back_off(spent)
            self._put_back(hold, attempt, pause, spends_attempt=not error.limited)
        else:
            self._end(
                hold, Ending("failed", error_code=error.code, error_message=error.message[:1000], attempt=attempt)
            )

    def _never_began(self, hold: Hold, number: int) -> None:
        """The provider does not know our key: the call was never made, so another may be."""
        attempt = AttemptEnd(number, "failed", "never_began", "the call had not reached the provider", charged=False)
        self._put_back(hold, attempt, 0.0, spends_attempt=False)

    def _unknown(self, hold: Hold, number: int, reason: str) -> None:
        live = hold.claim.live
        if live is not None and live.phase == "accepted":
            # The generation has its id: only this question was lost, and it is asked again.
            self._wait(hold, number, Pending(live.provider_job_id or "", self._back_off(1)))
            return
        self._wait_or_give_up(hold, number, reason)

    def _wait_or_give_up(self, hold: Hold, number: int, reason: str) -> None:
        with single() as conn:
            age = runs.attempt_age_seconds(conn, hold.claim)
        left = settings().reconcile_seconds - age
        if left <= 0:
            attempt = AttemptEnd(number, "abandoned", "outcome_unknown", reason[:1000])
            self._end(
                hold,
                Ending(
                    "failed",
                    error_code="outcome_unknown",
                    error_message="the provider's answer was lost and it could not be asked in time",
                    attempt=attempt,
                ),
            )
            return
        pause = min(left + 0.1, max(self._back_off(1), age / 4))
        with single() as conn:
            runs.wait_unknown(conn, hold.claim, number, after_seconds=pause, reason=reason[:1000])

    def _unstored(self, hold: Hold, number: int, error: StorageError) -> None:
        """The result could not be stored. It stays at the provider: the next step takes it again from there, until the
        time limit. A wrong key or bucket is waited for as well: somebody may mend it, and the result is paid for.
        """
        log.warning("job %s: result not stored: %s", hold.claim.job_id, error)
        if hold.claim.seconds_left <= 0:
            self._failed(hold, number, ProviderError("storage_failed", str(error), retryable=False, charged=True))
            return
        self._unknown(hold, number, "the result could not be stored yet")

    # Leaving the claim

    def _stop(self, hold: Hold, ending_: Ending) -> None:
        """Stop a generation that nobody waits for any more, then end the job."""
        live = hold.claim.live
        if live is None:
            self._end(hold, ending_)
            return
        provider, request, number = self._live(hold)
        try:
            provider.cancel(request, live.provider_job_id or "")
        except (ProviderError, OutcomeUnknown) as error:
            log.info("job %s: cancel at the provider came to nothing: %s", hold.claim.job_id, error)
        attempt = AttemptEnd(number, "abandoned", ending_.error_code or "canceled", "stopped at our request")
        self._end(
            hold,
            Ending(
                ending_.ended,
                cost_credits=ending_.cost_credits,
                error_code=ending_.error_code,
                error_message=ending_.error_message,
                attempt=attempt,
            ),
        )

    def _end(self, hold: Hold, ending_: Ending) -> Ended | None:
        claim = hold.claim
        with transaction() as conn:
            ended = ending.end(
                conn, claim.account_id, claim.job_id, ending_, token=claim.token, on_cancel=claim.entry.on_cancel
            )
        reached("settled" if ending_.ended == "succeeded" else "failed")
        if ended is None:
            log.info("job %s: stale claim %s changed nothing", claim.job_id, claim.token)
        else:
            ring(ended.rings)
        return ended

    def _put_back(self, hold: Hold, attempt: AttemptEnd, pause: float, *, spends_attempt: bool) -> None:
        claim = hold.claim
        with transaction() as conn:
            done = ending.put_back(
                conn,
                claim.account_id,
                claim.job_id,
                token=claim.token,
                after_seconds=pause,
                reason=f"{attempt.error_code}: {attempt.error_message}"[:1000],
                attempt=attempt,
                spends_attempt=spends_attempt,
            )
        reached("put_back")
        ring(done.rings if done else [])

    # Small things

    def _cancel_cost(self, claim: Claim) -> int:
        return claim.price_credits if claim.live and claim.entry.on_cancel == "charge" else 0

    def _back_off(self, tries: int) -> float:
        return back_off_seconds(
            tries, base=settings().retry_base_seconds, ceiling=settings().retry_max_seconds, chance=self._chance()
        )

    def _live(self, hold: Hold) -> tuple[Provider, Request, int]:
        live = hold.claim.live
        assert live is not None  # noqa: S101 - next_step said so
        return find_provider(live.provider), self._request(hold, live.route), live.number

    def _request(self, hold: Hold, route: int) -> Request:
        entry = hold.claim.entry
        chosen = entry.routes[min(route, len(entry.routes) - 1)]
        values: dict[str, Any] = dict(hold.claim.input)
        return Request(
            model=chosen.model,
            kind=entry.kind,
            input=values,
            options=chosen.options,
            seconds_left=max(1.0, hold.claim.seconds_left),
            canceled=hold.stop.is_set,
        )


def _key(job_id: UUID, number: int) -> str:
    """Our name for one attempt at a provider: the same after a crash."""
    return f"{job_id}:{number}"
