"""What a step writes: facts, which are repeated until the database has answered, and decisions, which are made again by
the next claim if they cannot be written now.

A decision locks its account. While that is locked by somebody, or the database is away, no thread waits for it: the fact
that it rests on is written first (that locks no account), and the job is let go.
"""

import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

from psycopg import Connection

from common.faultpoints import reached
from common.settings import settings
from common.telemetry import jobs, traces
from models.db import single, transaction
from models.events.kinds import JOB_RUNNING, JOB_WAITING
from models.jobs import ending, facts, polls, steps, words
from models.jobs.ending import AttemptEnd, Ended, Ending, NeedsTransaction, Unread
from models.jobs.facts import FactResult
from models.jobs.polls import StillPending
from models.jobs.states import AttemptPhase, JobEnd, JobStatus
from models.jobs.steps import Claim
from workers.calls.call import Asking, live_of
from workers.doorbell import publish_live, ring, wake_listeners_soon
from workers.leases import Hold, Keeper
from workers.persist import is_passing, persist
from workers.providers.base import Pending, ProviderError, storable
from workers.steps.decisions import again_by, back_off_seconds, elapsed_seconds, poll_pause, tells_nothing_new
from workers.steps.delivered import Delivered
from workers.steps.ender import Ender, Fact, HandedEnd

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0  # after which a decision that could not be written is made again
MESSAGE_CHARACTERS = 1000


class Records:
    """Writes of one worker process."""

    def __init__(self, asking: Asking, keeper: Keeper, chance: Callable[[], float] = random.random) -> None:
        self._asking = asking
        self._chance = chance
        self.ender = Ender(keeper, self)

    def back_off(self, tries: int) -> float:
        return back_off_seconds(
            tries, base=settings().retry_base_seconds, ceiling=settings().retry_max_seconds, chance=self._chance()
        )

    # Facts

    def accept(self, hold: Hold, pending: Pending) -> None:
        """The provider knows it under this id: the job waits for its next poll without a worker."""
        claim, live = hold.claim, live_of(hold)
        # Limits are moved where the clock jumps, and an attempt's start is not: the time that is used up bounds its age.
        age = min(live.age_seconds, claim.entry.timeout_seconds - claim.seconds_left) + elapsed_seconds(claim)
        number = live.number
        pause = 0.0 if claim.cancel_requested else poll_pause(pending, age)
        if tells_nothing_new(claim, pending):
            answer = StillPending(claim, pause, pending.progress)
            if hold.let_wait is not None:
                hold.let_wait(answer)
            else:
                let_wait([answer])
            return
        result = persist(
            lambda conn: facts.accept(
                conn, claim, number, provider_job_id=pending.provider_job_id, after_seconds=pause,
                progress=pending.progress,
            )
        )  # fmt: skip
        hold.alone = False
        if result is FactResult.MINE and pending.progress is not None:
            publish_live(claim.account_id, "job.progress", claim.job_id, {"progress": pending.progress})
        reached("accepted")

    def deliver(self, hold: Hold, delivered: Delivered) -> FactResult:
        """The provider has answered with the result: from here on it is only collected, by whoever claims next."""
        claim, number, row = hold.claim, live_of(hold).number, delivered.row()
        result = persist(
            lambda conn: facts.deliver(
                conn, claim, number, delivered=row, usage=delivered.usage, cost_usd_micros=delivered.cost_usd_micros,
                provider_job_id=delivered.provider_job_id,
            )
        )  # fmt: skip
        hold.alone = False
        reached("delivered")
        if result is not FactResult.MINE:
            log.info("job %s: a result that came after the claim was lost is %s", claim.job_id, result)
        return result

    def fail_late(self, hold: Hold, end: AttemptEnd, next_route: int | None, *, spends_attempt: bool) -> FactResult:
        """The attempt has failed, and what follows cannot be decided here: whoever claims next goes on from there."""
        claim, route = hold.claim, facts.NOWHERE if next_route is None else next_route
        if end.refused and self._asking.may_be_repeated(hold):
            return FactResult.OLD  # whoever asks next hears it too, or what came of another call
        result = persist(lambda conn: facts.fail(conn, claim, end, next_route=route, spends_attempt=spends_attempt))
        hold.alone = False
        self._asking.release_slot(hold)
        return result

    def never_called(self, hold: Hold) -> None:
        """The lease was lost before the call, which was not made. Where a start is repeated, another may have made it."""
        claim, live = hold.claim, live_of(hold)
        if not self._asking.may_be_repeated(hold):
            persist(lambda conn: facts.never_called(conn, claim, live.number, live.route))
        if persist(lambda conn: facts.is_over(conn, claim.job_id, live.number)):
            self._asking.release_slot(hold)

    # How the job stands, for who listens just then

    def say_running(self, claim: Claim) -> None:
        """An attempt begins."""
        publish_live(claim.account_id, JOB_RUNNING, claim.job_id, {"run": claim.token, "attempt": claim.attempts})

    def _say_waiting(self, claim: Claim, *, called: bool, reason: str, seconds: float) -> None:
        # As the row stands since: its token has grown, and a call that was not made is no attempt.
        stand = {"run": claim.token + 1, "attempt": claim.attempts - (not called)}
        waits = {**stand, "reason": words.waiting(reason), "seconds": round(seconds, 1)}
        publish_live(claim.account_id, JOB_WAITING, claim.job_id, waits)

    # Letting go: neither a fact nor an end

    def wait(self, hold: Hold, seconds: float, reason: str | None, *, late: bool = False) -> bool:
        """The attempt goes on without a worker until its next look. False: the claim is not ours any more. `late`: it was
        tried for after its limit.
        """
        claim = hold.claim
        return persist(lambda conn: steps.wait(conn, claim, after_seconds=seconds, reason=_short(reason), late=late))

    def wait_unknown(self, hold: Hold, seconds: float, reason: str, *, late: bool = False) -> None:
        """The answer was lost: the job is reconciling."""
        claim, number = hold.claim, live_of(hold).number
        persist(
            lambda conn: steps.wait_unknown(
                conn, claim, number, after_seconds=seconds, reason=_short(reason) or "", late=late
            )
        )
        hold.alone = False

    def give_back(self, hold: Hold, seconds: float = 0.0) -> None:
        """The step is not done, and its call was not made."""
        claim = hold.claim
        rung = persist(lambda conn: steps.give_back(conn, claim.job_id, claim.owner, after_seconds=seconds))
        self._asking.release_slot(hold)
        if rung and not seconds:
            ring([rung])

    # Decisions

    def end(self, hold: Hold, ending_: Ending, fact: Fact | None = None) -> None:
        """End the job, now or soon. Where it cannot be written, or the claim is lost, `fact` is, which the end rests on."""
        self.ender.end(HandedEnd(hold, ending_, fact))

    def end_blindly(self, hold: Hold, ending_: Ending) -> None:
        """End the job for want of an answer, unless a call back lies unread: that undoes it."""
        handed, claim = HandedEnd(hold, ending_, None), hold.claim
        try:
            with traces.span("settle"), transaction(wake=False) as conn:  # `tell` does
                ended = ending.end_blindly(
                    conn, claim.account_id, claim.job_id, ending_, token=claim.token, on_cancel=claim.entry.on_cancel
                )
        except Exception as error:  # noqa: BLE001 - said there
            self.put_off(handed, error)
            return
        if isinstance(ended, Unread):
            ring([ended.ring])
        else:
            self._concluded(handed, ended)

    def end_alone(self, handed: HandedEnd) -> None:
        """End one job, and do what follows."""
        claim = handed.hold.claim

        def end(conn: Connection[Any]) -> Ended | None:
            return ending.end(
                conn, claim.account_id, claim.job_id, handed.ending, token=claim.token, on_cancel=claim.entry.on_cancel
            )

        try:
            with traces.span("settle", claim.job_id):
                try:
                    with single(wake=False) as conn:  # `tell` does
                        ended = end(conn)
                except NeedsTransaction:
                    with transaction(wake=False) as conn:
                        ended = end(conn)
        except Exception as error:  # noqa: BLE001 - said there
            self.put_off(handed, error)
            return
        self._concluded(handed, ended)

    def tell(self, ends: Sequence[tuple[HandedEnd, Ended]]) -> None:
        """Ring what was dispatched by ends that are written, and wake those who listen to these accounts."""
        for handed, _ in ends:
            reached("settled" if handed.ending.ended == JobEnd.SUCCEEDED else "failed")
        _tell([(handed.hold.claim, ended) for handed, ended in ends])

    def conclude(self, handed: HandedEnd, ended: Ended | None) -> None:
        """Do what else follows from an end that is written, or whose claim was lost."""
        claim = handed.hold.claim
        if ended is None:
            log.info("job %s: stale claim %s changed nothing", claim.job_id, claim.token)
            if handed.fact is not None:
                handed.fact()
            return
        handed.hold.alone = False
        self._asking.release_slot(handed.hold)
        jobs.ended(
            claim.job_id, claim.account_id, handed.ending.ended, model=claim.entry.id, attempt=claim.attempts,
            code=handed.ending.error_code, credits=min(handed.ending.cost_credits, claim.price_credits),
        )  # fmt: skip

    def _concluded(self, handed: HandedEnd, ended: Ended | None) -> None:
        if ended is not None:
            self.tell([(handed, ended)])
        self.conclude(handed, ended)

    def put_off(self, handed: HandedEnd, error: Exception) -> None:
        """The end could not be written, or nobody knows whether it was: it is decided again later."""
        log.warning("job %s: its end is decided again later", handed.hold.claim.job_id, exc_info=not is_passing(error))
        self._undecided(handed.hold, handed.fact, error)

    def let_go(self, hold: Hold, error: Exception) -> None:
        """A step failed in a way that nobody foresaw: another is tried later."""
        claim, seconds = hold.claim, self.back_off(3)
        log.error("job %s: a step failed unexpectedly; it is let go", claim.job_id, exc_info=error)
        persist(lambda conn: steps.wait(conn, claim, after_seconds=seconds, reason="a step failed"))

    def put_back(
        self,
        hold: Hold,
        attempt: AttemptEnd | None,
        pause: float,
        reason: str,
        *,
        next_route: int,
        spends_attempt: bool = False,
        held_back: bool = False,
    ) -> None:
        """Put the job back into its account's queue. Without `attempt` the claim's own was never called."""
        claim = hold.claim

        def fact() -> FactResult:
            assert attempt is not None  # noqa: S101 - given only where it is
            return self.fail_late(hold, attempt, next_route, spends_attempt=spends_attempt)

        try:
            with traces.span("put back"), transaction(wake=False) as conn:  # `_tell` does
                done = ending.put_back(
                    conn,
                    claim.account_id,
                    claim.job_id,
                    token=claim.token,
                    after_seconds=pause,
                    reason=_short(reason) or "",
                    attempt=attempt,
                    spends_attempt=spends_attempt,
                    next_route=next_route,
                    held_back=held_back,
                )
        except Exception as error:
            log.warning("job %s: what follows is decided again later", claim.job_id, exc_info=not is_passing(error))
            if attempt is None and is_passing(error):
                self.give_back(hold, max(pause, AGAIN_SECONDS))
            else:
                self._undecided(hold, fact if attempt is not None else None, error)
            return
        reached("put_back")
        if done is None:
            if attempt is not None:
                fact()
            else:
                self.never_called(hold)
            return
        hold.alone = False
        self._asking.release_slot(hold)
        _tell([(claim, done)])
        if done.ended != JobStatus.QUEUED:  # a cancel came first
            jobs.ended(claim.job_id, claim.account_id, done.ended, model=claim.entry.id, attempt=claim.attempts)
            return
        if attempt is not None:
            jobs.retried(attempt.error_code or "")
        self._say_waiting(claim, called=attempt is not None, reason=reason, seconds=pause)

    def fail(self, hold: Hold, error: ProviderError, usage: dict[str, int] | None = None) -> None:
        """The attempt has failed: another follows, or the job has failed."""
        claim, live = hold.claim, live_of(hold)
        attempt = AttemptEnd(
            live.number, AttemptPhase.FAILED, error.code, error.message[:MESSAGE_CHARACTERS], charged=error.charged,
            cost_usd_micros=error.cost_usd_micros, usage=usage, refused=error.refused_call,
        )  # fmt: skip
        log.log(
            logging.INFO if error.limited else logging.WARNING, "job %s: attempt %d at provider %s failed: %s: %s",
            claim.job_id, live.number, live.provider, error.code, error.message,
        )  # fmt: skip
        following = again_by(claim, live.route, error)
        if following is None:
            self.end(
                hold,
                Ending(JobEnd.FAILED, error_code=error.code, error_message=attempt.error_message, attempt=attempt),
                lambda: self.fail_late(hold, attempt, None, spends_attempt=True),
            )
            return
        # Where there are other routes they are looked at first: who has no room now is passed over.
        elsewhere = following != live.route or (error.limited and len(claim.entry.routes) > 1)
        pause = 0.0 if elsewhere else error.retry_after_seconds or self.back_off(claim.attempts_spent)
        self.put_back(
            hold, attempt, pause, f"{error.code}: {error.message}", next_route=following,
            spends_attempt=not error.limited, held_back=error.limited and not elsewhere,
        )  # fmt: skip

    def _undecided(self, hold: Hold, fact: Fact | None, error: Exception) -> None:
        """A decision could not be written, or nobody knows whether it was: write the fact, let go, decide again."""
        if fact is not None:
            fact()
        seconds = AGAIN_SECONDS if is_passing(error) else self.back_off(5)
        if not self.wait(hold, seconds, "the database did not take the job's end yet"):
            # The fact let go of it, or the decision was taken though its answer was lost. Should another have the job
            # instead, its provider counts one slot too few for a while, which is better than one too many for ever.
            self._asking.release_slot(hold)


def let_wait(answers: Sequence[StillPending]) -> None:
    """The providers are still at it: these jobs wait for their next polls without a worker. One statement for all."""
    news = persist(lambda conn: polls.write_waits(conn, answers))
    for claim, _, progress in answers:
        if claim.job_id in news:
            publish_live(claim.account_id, "job.progress", claim.job_id, {"progress": progress})
    reached("accepted")


def _tell(done: Sequence[tuple[Claim, Ended]]) -> None:
    """Ring what was dispatched, and wake those who listen to these accounts."""
    rings = [each for _, ended in done for each in ended.rings]
    accounts = {claim.account_id for claim, _ in done}
    if rings:
        ring(rings, wake_listeners_of=accounts)
    else:
        for account_id in accounts:
            wake_listeners_soon(account_id)


def _short(reason: str | None) -> str | None:
    return storable(reason, MESSAGE_CHARACTERS) if reason is not None else None
