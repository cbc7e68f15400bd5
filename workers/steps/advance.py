"""The life of a job, one step at a time (DESIGN sections 3 and 12).

`advance` looks at the job's row, does what is next, and commits; it could be killed after any line. What is decided
is decided in `workers.steps.decisions`, which touches nothing; what is written is written by `workers.steps.records`.
"""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from common import logs
from common.faultpoints import reached
from common.settings import settings
from common.telemetry import jobs, traces
from models.db import single
from models.jobs import steps
from models.jobs.clock import ClockPace
from models.jobs.ending import AttemptEnd, Ending
from models.jobs.states import UNANSWERED_PHASES, AttemptPhase, JobEnd
from models.jobs.steps import Claim
from workers.calls.call import Asking, key_of, live_of
from workers.calls.routing import Wait
from workers.leases import Hold, Keeper, LeaseLost, NotCalled
from workers.persist import is_passing
from workers.providers.base import Done, Outcome, OutcomeUnknown, Pending, Provider, ProviderError, Request
from workers.steps.claiming import Claiming
from workers.steps.collecting import Collecting
from workers.steps.decisions import (
    Next,
    has_met_a_limit,
    is_late,
    is_late_at_the_end,
    is_quiet,
    is_stop,
    is_unwanted,
    late_pause,
    next_step,
    outcome_still_unknown,
    unknown_pause,
    was_last,
)
from workers.steps.delivered import Delivered
from workers.steps.records import Records

log = logging.getLogger(__name__)

# Where the fault tests kill a worker: between every two steps of a job's life.
FAULT_POINTS = (
    "claimed", "leased", "intended", "started", "accepted", "polled", "delivered", "uploaded", "settled", "failed",
    "put_back",
)  # fmt: skip


class CannotBeAsked(OutcomeUnknown):
    """Nobody knows what became of the call, and to ask once more would tell as little."""


class Advance:
    """Does steps for one worker process."""

    def __init__(self, keeper: Keeper, chance: Callable[[], float] = random.random) -> None:
        self._keeper = keeper
        self._asking = Asking(chance)
        self._records = Records(self._asking, keeper, chance)
        self._collecting = Collecting(self._asking, self._records)
        self._pace = ClockPace()
        self._claiming = Claiming(keeper, self._pace)

    def __call__(self, job_id: UUID) -> None:
        """Do the job's next step, if one is due."""
        with traces.span("step", job_id, kind="consumer") as mark, logs.bound(job=job_id):
            hold = self._claiming.claim(job_id)
            if hold is None:
                mark.drop()
                return
            claim = hold.claim
            mark.note({"headrace.attempt": claim.attempts, "headrace.queue": claim.queue})
            with logs.bound(account=claim.account_id, attempt=claim.attempts), self._keeper.held(hold):
                self.work(hold)

    def claim_ahead(self, job_ids: Sequence[UUID]) -> None:
        """Claim jobs whose messages were fetched together."""
        self._claiming.claim_ahead(job_ids)

    def give_back_ahead(self) -> None:
        """Give back what was claimed ahead and is not begun."""
        self._claiming.give_back_ahead()

    def hear(self, claim: Claim) -> None:
        """The database has said what time it is."""
        self._claiming.hear(claim)

    def busy(self) -> bool:
        """Whether what its steps have decided is not all written yet."""
        return self._records.ender.busy()

    def work(self, hold: Hold) -> None:
        """Do the step of a claim that is held."""
        reached("claimed")
        try:
            self._step(hold)
        except LeaseLost:
            log.info("job %s was taken over by another worker", hold.claim.job_id)
        except Exception as error:  # noqa: BLE001 - said there
            self._records.let_go(hold, error)

    def _step(self, hold: Hold) -> None:
        if has_met_a_limit(hold.claim) and not self._pace.is_even():
            self._let_go(hold, settings().lease_seconds, "the database's clock has jumped")
            return
        match next_step(hold.claim):
            case Next.START:
                self._start(hold)
            case Next.POLL:
                self._ask(hold, self._poll(hold))
            case Next.RECOVER:
                self._recover(hold)
            case Next.COLLECT:
                self._collecting.again(hold)
            case Next.CANCEL | Next.TIME_OUT:
                self._stop(hold)
            case Next.FAIL:
                with single() as conn:
                    code, message = steps.last_error(conn, hold.claim.job_id)
                self._records.end(hold, Ending(JobEnd.FAILED, error_code=code, error_message=message))

    # Beginning

    def _start(self, hold: Hold) -> None:
        """Begin a generation. Until `hold.called` nothing has been asked of the provider, whatever goes wrong."""
        claim = hold.claim
        try:
            if not self._take_route(hold):
                return
            self._asking.begin_with_own_key(hold)
            live = live_of(hold)
            provider, request = self._asking.provider(live), self._asking.request(hold, begins=True)
            self._records.say_running(claim)
            jobs.started(claim.job_id, claim.account_id, claim.entry.id, attempt=live.number, provider=live.provider)
            reached("intended")
            hold.alone = True
            outcome = self._asking.start(hold, provider, request)
        except NotCalled as why:
            self._not_called(hold, str(why))
        except ProviderError as error:
            if hold.called:
                self._asking.record_outcome(hold, error, finished=True)
            elif error.code == "storage_failed" and error.retryable:  # ours: it is no attempt
                self._records.put_back(
                    hold, None, self._records.back_off(3), error.message, next_route=live_of(hold).route
                )
                return
            self._records.fail(hold, error)
        except OutcomeUnknown as error:
            self._asking.record_outcome(hold, error, finished=False)
            self._unknown(hold, str(error))
        except Exception as error:
            log.exception("job %s: beginning it at its provider failed unexpectedly", claim.job_id)
            self._fault_of_ours(hold, error)
        else:
            reached("started")
            self._answered(hold, outcome)

    def _take_route(self, hold: Hold) -> bool:
        """Choose a route and take a slot of its provider. False: there is none, and the job waits."""
        claim, live = hold.claim, live_of(hold)
        choice = self._asking.choose(hold)
        if isinstance(choice, Wait):
            self._records.put_back(hold, None, choice.seconds, choice.reason, next_route=live.route, held_back=True)
            return False
        if choice.route != live.route:
            with single() as conn:
                rerouted = steps.reroute(conn, claim, live.number, choice.route)
            if not rerouted:
                self._asking.release_slot(hold)
                raise LeaseLost("another worker has the job, or it was canceled")
            provider = claim.entry.routes[choice.route].provider
            hold.claim = replace(claim, live=live._replace(route=choice.route, provider=provider))
        return True

    def _not_called(self, hold: Hold, why: str) -> None:
        """The call was not made. If the claim is lost, the attempt is over: whoever has the job must not wait for it."""
        live = live_of(hold)
        if hold.called:  # once before, and its answer was lost: only its repeat was not made
            self._unknown(hold, why)
        elif hold.lost:
            self._records.never_called(hold)
        else:
            self._records.put_back(hold, None, 0.0, why, next_route=live.route)

    def _fault_of_ours(self, hold: Hold, error: Exception) -> None:
        """An exception of ours. Before the call nothing has happened yet; after it, nobody knows what has."""
        if is_passing(error) and not hold.called and not hold.claim.begins:
            self._let_go(hold, self._records.back_off(1), str(error))  # nobody was asked
        elif hold.called or not hold.claim.begins:
            self._unknown(hold, f"unexpected {type(error).__name__}")
        elif is_passing(error):
            self._records.put_back(hold, None, self._records.back_off(1), str(error), next_route=live_of(hold).route)
        else:
            message = f"{type(error).__name__} before the provider was asked"
            self._records.fail(hold, ProviderError("internal_error", message, retryable=True, elsewhere=False))

    # Asking about what was begun

    def _poll(self, hold: Hold) -> Callable[[Provider, Request], Outcome]:
        provider_job_id = live_of(hold).provider_job_id or ""

        def ask(provider: Provider, request: Request) -> Outcome:
            called = self._asking.read_callbacks(hold, provider, request)
            return called if isinstance(called, Done) else provider.poll(request, provider_job_id)

        return ask

    def _recover(self, hold: Hold) -> None:
        """A call was written down and its answer is not known: ask, or repeat where that is the same call, never guess."""
        key = key_of(hold.claim, live_of(hold).number)
        unwanted = is_unwanted(hold.claim)

        def ask(provider: Provider, request: Request) -> Outcome | None:
            called = self._asking.read_callbacks(hold, provider, request)
            if called is not None:
                return called
            match provider.recovery(request):
                case "lookup":
                    return provider.lookup(request, key)
                case "idempotent" if not unwanted:
                    return self._asking.repeat_start(hold, provider)
            raise CannotBeAsked("the provider cannot be asked about a lost answer")

        self._ask(hold, ask)

    def _ask(self, hold: Hold, ask: Callable[[Provider, Request], Outcome | None]) -> None:
        """Ask about a generation that was begun before, and carry out what the answer means."""
        live = live_of(hold)
        try:
            provider, request = self._asking.provider(live), self._asking.request(hold, begins=False)
        except ProviderError as error:
            # Nobody can be asked. What was started stays started: somebody may set the key again.
            self._unknown(hold, error.message)
            return
        try:
            outcome = ask(provider, request)
        except NotCalled as why:
            self._let_go(hold, 0.0, str(why))
            return
        except ProviderError as error:
            silent = outcome_still_unknown(hold.claim, live.phase, error)
            self._asking.record_outcome(hold, error, finished=not silent)
            if silent:
                self._unknown(hold, error.message, error.retry_after_seconds)
            else:
                self._records.fail(hold, error)
            return
        except OutcomeUnknown as error:
            self._asking.record_outcome(hold, error, finished=False)
            silent = not isinstance(error, CannotBeAsked)
            self._unknown(hold, str(error) or "the provider's answer was lost", again=silent)
            return
        except Exception as error:
            log.exception("job %s: asking its provider failed unexpectedly", hold.claim.job_id)
            self._fault_of_ours(hold, error)
            return
        reached("polled")
        if outcome is None:
            self._never_began(hold)
        else:
            self._answered(hold, outcome)

    # What the answer means

    def _answered(self, hold: Hold, outcome: Outcome) -> None:
        self._asking.record_outcome(hold, None, finished=isinstance(outcome, Done))
        if isinstance(outcome, Pending):
            self._records.accept(hold, outcome)
        else:
            self._collecting.first(hold, Delivered.of(outcome))

    def _never_began(self, hold: Hold) -> None:
        """The provider does not know our key: the call was never made, so another may be. A request may still be on its
        way to it, so that is believed only of an attempt that is older than any call can be.
        """
        live = live_of(hold)
        if not is_quiet(hold.claim):
            self._unknown(hold, "the provider does not know of the call yet")
            return
        attempt = AttemptEnd(
            live.number, AttemptPhase.FAILED, "never_began", "the call had not reached the provider", charged=False
        )
        self._records.put_back(hold, attempt, 0.0, attempt.error_message or "", next_route=live.route)

    def _let_go(self, hold: Hold, seconds: float, reason: str) -> None:
        """The question was not asked: it will be."""
        if hold.claim.live is not None and hold.claim.live.phase in UNANSWERED_PHASES:
            self._records.wait_unknown(hold, seconds, reason)
        else:
            self._records.wait(hold, seconds, reason)

    def _unknown(self, hold: Hold, reason: str, pause: float | None = None, *, again: bool = True) -> None:
        """The answer, or the question, was lost. What has its id is asked again; the rest is reconciling, until a limit
        that an end needs to have been asked after, more than once where to ask `again` can bring an answer.
        """
        claim, live = hold.claim, live_of(hold)
        unwanted = is_unwanted(claim)
        if live.phase == AttemptPhase.ACCEPTED:
            self._records.wait(hold, pause or self._records.back_off(1), reason)
            return
        late = is_late(claim)
        if not unwanted and not (late and (was_last(claim) or not again)):
            self._records.wait_unknown(hold, unknown_pause(claim, self._records.back_off(1)), reason, late=late)
            return
        attempt = AttemptEnd(live.number, AttemptPhase.ABANDONED, "outcome_unknown", reason[:1000])
        message = "the provider's answer was lost and it could not be asked in time"
        ending = (
            Ending(JobEnd.CANCELED, attempt=attempt)
            if unwanted
            else Ending(JobEnd.FAILED, error_code="outcome_unknown", error_message=message, attempt=attempt)
        )
        self._records.end_blindly(hold, ending)

    # Stopping

    def _stop(self, hold: Hold) -> None:
        """Stop a generation that nobody waits for any more, then end the job. One that is done all the same is taken: its
        cost is known then, and its result kept, unless a cancel says otherwise. What cannot be asked is asked again.
        """
        claim, live = hold.claim, hold.claim.live
        ending = _stopped(claim)
        if live is None:
            self._records.end(hold, ending)
            return
        cost, lost = None, ""
        try:
            outcome = self._last_look(hold)
        except ProviderError as error:
            silent = outcome_still_unknown(claim, live.phase, error) and not is_stop(error)
            lost, cost = (error.message if silent else ""), error.cost_usd_micros
            if not lost and not is_stop(error):  # it had failed by itself, and what has failed is not charged
                ending = replace(ending, cost_credits=0)
        except OutcomeUnknown as error:
            lost = error.message
        except Exception as error:
            if isinstance(error, NotCalled) or is_passing(error):  # it was not asked
                self._let_go(hold, 0.0 if isinstance(error, NotCalled) else self._records.back_off(1), str(error))
                return
            log.exception("job %s: asking its provider a last time failed unexpectedly", claim.job_id)
            lost = f"unexpected {type(error).__name__}"
        else:
            if isinstance(outcome, Done):
                self._answered(hold, outcome)
                return
        late = is_late_at_the_end(claim)
        if lost and not (late and was_last(claim)):
            back_off = self._records.back_off(1)
            pause = late_pause(back_off) if late else back_off
            self._records.wait(hold, pause, f"its provider could not be asked: {lost}", late=late)
            return
        attempt = AttemptEnd(
            live.number,
            AttemptPhase.ABANDONED,
            ending.error_code or "canceled",
            "stopped at our request",
            cost_usd_micros=cost,
        )
        self._records.end_blindly(hold, replace(ending, attempt=attempt))

    def _last_look(self, hold: Hold) -> Outcome:
        """What became of the generation; at the end it is asked to stop, if it runs. What was stopped is only polled: to
        repeat its start could begin another.
        """
        live = live_of(hold)
        try:
            provider, request = self._asking.provider(live), self._asking.request(hold, begins=False)
        except ProviderError as error:
            if is_unwanted(hold.claim):
                raise
            raise OutcomeUnknown(error.message) from error
        called = self._asking.read_callbacks(hold, provider, request)
        if isinstance(called, Done):
            return called
        if not is_unwanted(hold.claim):
            outcome = self._asking.ask(hold, provider, request)
            if isinstance(outcome, Done):
                return outcome
        try:
            provider.cancel(request, live.provider_job_id or "")
        except (ProviderError, OutcomeUnknown) as error:
            log.info("job %s: cancel at the provider came to nothing: %s", hold.claim.job_id, error)
        return provider.poll(request, live.provider_job_id or "")


def _stopped(claim: Claim) -> Ending:
    if claim.cancel_requested:
        charged = claim.live is not None and claim.entry.on_cancel == "charge"
        return Ending(JobEnd.CANCELED, cost_credits=claim.price_credits if charged else 0)
    message = f"not done in {claim.entry.timeout_seconds} seconds"
    return Ending(JobEnd.FAILED, error_code="timed_out", error_message=message)
