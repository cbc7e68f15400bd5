"""The life of a job, one step at a time (DESIGN section 3).

`advance` looks at the job's row, does what is next, and commits; it could be killed after any line. What is decided
is decided in `workers.decisions`, which touches nothing; the rest carries it out.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from psycopg import Connection

from common.faultpoints import reached
from models import ending, prices, runs
from models.db import single, transaction
from models.ending import AttemptEnd, Ended, Ending, NeedsTransaction
from models.runs import Claim, LiveAttempt
from models.settings import settings
from storage.media import UnusableResult
from storage.s3 import StorageError
from workers.asking import Asking, key_of
from workers.collect import LeaseLost, collect, discard
from workers.decisions import Next, again_by, back_off_seconds, measured_quantity_milli, next_step, says_nothing
from workers.enqueue import ring, say, tell_soon
from workers.leases import Hold, Keeper
from workers.providers.base import Done, Outcome, OutcomeUnknown, Pending, Provider, ProviderError, Request
from workers.routing import Wait

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


class Advance:
    """Does steps for one worker process."""

    def __init__(self, worker_id: str, keeper: Keeper, chance: Callable[[], float] = random.random) -> None:
        self._worker_id = worker_id
        self._keeper = keeper
        self._asking = Asking(chance)
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
                self._stop(hold, Ending("canceled", cost_credits=_cancel_cost(hold.claim)))
            case Next.TIME_OUT:
                limit = hold.claim.entry.timeout_seconds
                self._stop(hold, Ending("failed", error_code="timed_out", error_message=f"not done in {limit} seconds"))

    # Asking the provider

    def _start(self, hold: Hold) -> None:
        claim, live = hold.claim, _live(hold)
        choice = self._asking.choose(claim, live)
        if isinstance(choice, Wait):
            self._put_back(hold, None, choice.seconds, choice.reason, next_route=live.route)
            return
        if choice.route != live.route:
            with single() as conn:
                if not runs.reroute(conn, claim, live.number, choice.route):
                    return  # canceled or rescued since the claim
            live = live._replace(route=choice.route, provider=claim.entry.routes[choice.route].provider)
            hold.claim = replace(claim, live=live)
        say(claim.account_id, "job.running", claim.job_id, {"attempt": claim.attempts})
        reached("intended")
        self._handle(hold, lambda provider, request: provider.start(request, key_of(claim, live.number)))

    def _poll(self, hold: Hold) -> None:
        live = _live(hold)
        provider_job_id = live.provider_job_id or ""

        def ask(provider: Provider, request: Request) -> Outcome:
            called = self._called_back(hold, provider, request)
            return called if isinstance(called, Done) else provider.poll(request, provider_job_id)

        self._handle(hold, ask)

    def _recover(self, hold: Hold) -> None:
        """A call was written down and its answer is not known: ask, or repeat where that is the same call, never guess."""
        key = key_of(hold.claim, _live(hold).number)

        def ask(provider: Provider, request: Request) -> Outcome | None:
            called = self._called_back(hold, provider, request)
            if called is not None:
                return called
            match provider.recovery(request):
                case "idempotent":
                    return provider.start(request, key)
                case "lookup":
                    return provider.lookup(request, key)
                case _:
                    raise OutcomeUnknown("the provider cannot be asked about a lost answer")

        self._handle(hold, ask)

    def _called_back(self, hold: Hold, provider: Provider, request: Request) -> Outcome | None:
        """What the provider has called back with; the newest call that may be believed counts."""
        live = _live(hold)
        for call in self._asking.calls(hold.claim, live):
            outcome = provider.callback(request, live.provider_job_id, call)
            if outcome is not None:
                return outcome
        return None

    def _handle(self, hold: Hold, ask: Callable[[Provider, Request], Outcome | None]) -> None:
        """Ask, and carry out what the answer means."""
        claim, live = hold.claim, _live(hold)
        try:
            provider, request = self._asking.provider(live), self._asking.request(hold, live)
        except ProviderError as error:
            # Nobody can be asked. What was started stays started: somebody may set the key again.
            if claim.begins:
                self._failed(hold, error)
            else:
                self._unknown(hold, error.message)
            return
        try:
            outcome = ask(provider, request)
        except ProviderError as error:
            silent = says_nothing(claim, live.phase, error)
            self._asking.told(claim, live, error, over=not silent)
            if silent:
                self._unknown(hold, error.message, error.retry_after_seconds)
                return
            self._failed(hold, error)
            return
        except OutcomeUnknown as error:
            self._asking.told(claim, live, error, over=False)
            self._unknown(hold, str(error) or "the provider's answer was lost")
            return
        except Exception as error:
            # A fault of ours after the call may have been made: whether it was is not known.
            log.exception("job %s: asking the provider failed unexpectedly", claim.job_id)
            self._unknown(hold, f"unexpected {type(error).__name__}")
            return
        if outcome is None:
            self._never_began(hold)
            return
        self._asking.told(claim, live, None, over=isinstance(outcome, Done))
        reached("started" if claim.begins else "polled")
        if isinstance(outcome, Pending):
            self._wait(hold, outcome)
        else:
            self._finish(hold, outcome)

    def _wait(self, hold: Hold, pending: Pending) -> None:
        with single() as conn:
            waits = runs.wait_for_provider(
                conn,
                hold.claim,
                _live(hold).number,
                provider_job_id=pending.provider_job_id,
                after_seconds=pending.poll_after_seconds,
                progress=pending.progress,
            )
        if waits and pending.progress is not None:
            say(hold.claim.account_id, "job.progress", hold.claim.job_id, {"progress": pending.progress})
        reached("accepted")

    # What the answer means

    def _finish(self, hold: Hold, done: Done) -> None:
        claim = hold.claim
        try:
            assets = collect(hold, done.outputs)
        except UnusableResult as error:
            self._failed(
                hold,
                ProviderError(
                    error.code, str(error), retryable=True, charged=True, cost_usd_micros=done.cost_usd_micros
                ),
            )
            return
        except OutcomeUnknown as error:
            self._unfetched(hold, done, error)
            return
        except StorageError as error:
            self._unstored(hold, error)
            return
        reached("uploaded")
        usage = dict(done.usage)
        quantity = measured_quantity_milli(claim.entry.price.unit, claim.quantity_milli, assets, usage)
        attempt = AttemptEnd(
            _live(hold).number, "done", charged=bool(done.cost_usd_micros), cost_usd_micros=done.cost_usd_micros,
            usage=usage,
        )  # fmt: skip
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

    def _failed(self, hold: Hold, error: ProviderError) -> None:
        claim, live = hold.claim, _live(hold)
        attempt = AttemptEnd(
            live.number, "failed", error.code, error.message[:1000], charged=error.charged,
            cost_usd_micros=error.cost_usd_micros,
        )  # fmt: skip
        following = again_by(claim, live.route, error)
        if following is None:
            self._end(
                hold, Ending("failed", error_code=error.code, error_message=error.message[:1000], attempt=attempt)
            )
            return
        # Where there are other routes they are looked at first: who has no room now is passed over.
        elsewhere = following != live.route or (error.limited and len(claim.entry.routes) > 1)
        pause = 0.0 if elsewhere else error.retry_after_seconds or self._back_off(claim.attempts_spent)
        reason = f"{error.code}: {error.message}"
        self._put_back(hold, attempt, pause, reason, next_route=following, spends_attempt=not error.limited)

    def _never_began(self, hold: Hold) -> None:
        """The provider does not know our key: the call was never made, so another may be."""
        live = _live(hold)
        self._asking.left(hold.claim, live)
        attempt = AttemptEnd(
            live.number, "failed", "never_began", "the call had not reached the provider", charged=False
        )
        self._put_back(hold, attempt, 0.0, attempt.error_message or "", next_route=live.route, spends_attempt=False)

    def _unknown(self, hold: Hold, reason: str, pause: float | None = None) -> None:
        live = _live(hold)
        if live.phase == "accepted":
            # The generation has its id: only this question was lost, and it is asked again.
            self._wait(hold, Pending(live.provider_job_id or "", pause or self._back_off(1)))
            return
        with single() as conn:
            age = runs.attempt_age_seconds(conn, hold.claim)
        left = settings().reconcile_seconds - age
        if left > 0:
            pause = min(left + 0.1, max(self._back_off(1), age / 4))
            with single() as conn:
                runs.wait_unknown(conn, hold.claim, live.number, after_seconds=pause, reason=reason[:1000])
            return
        attempt = AttemptEnd(live.number, "abandoned", "outcome_unknown", reason[:1000])
        message = "the provider's answer was lost and it could not be asked in time"
        self._asking.left(hold.claim, live)
        self._end(hold, Ending("failed", error_code="outcome_unknown", error_message=message, attempt=attempt))

    def _unfetched(self, hold: Hold, done: Done, error: OutcomeUnknown) -> None:
        """The generation is done, but its result cannot be had from where it lies. If it can be asked again it is,
        until the time limit; it is paid for.
        """
        if _live(hold).phase == "accepted" and hold.claim.seconds_left > 0:
            self._unknown(hold, str(error))
            return
        cost = done.cost_usd_micros
        self._failed(hold, ProviderError("result_lost", str(error), retryable=True, charged=True, cost_usd_micros=cost))

    def _unstored(self, hold: Hold, error: StorageError) -> None:
        """The result could not be stored. It stays at the provider: the next step takes it again from there, until the
        time limit. A wrong key or bucket is waited for as well: somebody may mend it, and the result is paid for.
        """
        log.warning("job %s: result not stored: %s", hold.claim.job_id, error)
        if hold.claim.seconds_left <= 0:
            self._failed(hold, ProviderError("storage_failed", str(error), retryable=False, charged=True))
            return
        self._unknown(hold, "the result could not be stored yet")

    # Leaving the claim

    def _stop(self, hold: Hold, ending_: Ending) -> None:
        """Stop a generation that nobody waits for any more, then end the job. One that is done all the same is taken, so
        that its cost is known, and its result kept where the catalogue says so.
        """
        claim, live = hold.claim, hold.claim.live
        if live is None:
            self._end(hold, ending_)
            return
        provider_job_id, cost = live.provider_job_id or "", None
        try:
            provider, request = self._asking.provider(live), self._asking.request(hold, live)
            provider.cancel(request, provider_job_id)
            outcome = provider.poll(request, provider_job_id)
            if isinstance(outcome, Done) and claim.cancel_requested:
                self._asking.told(claim, live, None, over=True)
                self._finish(hold, outcome)
                return
            cost = outcome.cost_usd_micros if isinstance(outcome, Done) else None
        except ProviderError as error:
            cost = error.cost_usd_micros
        except OutcomeUnknown as error:
            log.info("job %s: cancel at the provider came to nothing: %s", claim.job_id, error)
        self._asking.left(claim, live)
        attempt = AttemptEnd(
            live.number, "abandoned", ending_.error_code or "canceled", "stopped at our request", cost_usd_micros=cost
        )
        self._end(hold, replace(ending_, attempt=attempt))

    def _end(self, hold: Hold, ending_: Ending) -> Ended | None:
        claim = hold.claim

        def end(conn: Connection[Any]) -> Ended | None:
            return ending.end(
                conn, claim.account_id, claim.job_id, ending_, token=claim.token, on_cancel=claim.entry.on_cancel
            )

        try:
            with single() as conn:
                ended = end(conn)
        except NeedsTransaction:
            with transaction() as conn:
                ended = end(conn)
        reached("settled" if ending_.ended == "succeeded" else "failed")
        if ended is None:
            log.info("job %s: stale claim %s changed nothing", claim.job_id, claim.token)
        else:
            _tell(claim, ended)
        return ended

    def _put_back(
        self,
        hold: Hold,
        attempt: AttemptEnd | None,
        pause: float,
        reason: str,
        *,
        next_route: int,
        spends_attempt: bool = False,
    ) -> None:
        claim = hold.claim
        with transaction() as conn:
            done = ending.put_back(
                conn,
                claim.account_id,
                claim.job_id,
                token=claim.token,
                after_seconds=pause,
                reason=reason[:1000],
                attempt=attempt,
                spends_attempt=spends_attempt,
                next_route=next_route,
            )
        reached("put_back")
        if done is not None:
            _tell(claim, done)
            if done.ended == "queued":
                say(claim.account_id, "job.waiting", claim.job_id, {"reason": reason[:200], "seconds": round(pause, 1)})

    def _back_off(self, tries: int) -> float:
        return back_off_seconds(
            tries, base=settings().retry_base_seconds, ceiling=settings().retry_max_seconds, chance=self._chance()
        )


def _tell(claim: Claim, ended: Ended) -> None:
    if ended.rings:
        ring(ended.rings, told=[claim.account_id])
    else:
        tell_soon(claim.account_id)


def _live(hold: Hold) -> LiveAttempt:
    live = hold.claim.live
    assert live is not None  # noqa: S101 - next_step said so
    return live


def _cancel_cost(claim: Claim) -> int:
    return claim.price_credits if claim.live and claim.entry.on_cancel == "charge" else 0
