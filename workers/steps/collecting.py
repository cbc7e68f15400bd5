"""A delivered result on its way to the job's end (DESIGN section 12).

What only this process has is held until it is somewhere else: stored and ended, or written down. What lies at an address
is written down first, and then collected; what fails is fetched again, then asked for again, and generated again only
where what came was cut off for good.
"""

import logging
import time
from dataclasses import replace

from common.faultpoints import reached
from models.catalogue import prices
from models.jobs.ending import AttemptEnd, Ending, NewAsset
from models.jobs.facts import FactResult
from models.jobs.states import AttemptPhase, JobEnd
from storage.media import UnusableResult
from workers.calls.call import Asking, live_of
from workers.leases import Hold, LeaseLost
from workers.persist import is_passing
from workers.providers.base import Done, OutcomeUnknown, ProviderError, storable
from workers.steps.collect import Collector
from workers.steps.decisions import (
    LATE_TRIES,
    collecting_is_over,
    is_held_too_long,
    measured_quantity_milli,
    was_last,
)
from workers.steps.delivered import Delivered, read
from workers.steps.records import Records

log = logging.getLogger(__name__)

HOLD_PAUSE_SECONDS = 10.0  # the longest pause before what is nowhere else is stored again


class Collecting:
    """Collects for one worker process."""

    def __init__(self, asking: Asking, records: Records) -> None:
        self._asking = asking
        self._records = records

    def first(self, hold: Hold, delivered: Delivered) -> None:
        """An answer has come. If it names addresses that nobody could ask for again, these are written down first."""
        alone = delivered.is_alone()
        hold.alone = alone or live_of(hold).phase != AttemptPhase.ACCEPTED
        if not alone and live_of(hold).phase != AttemptPhase.ACCEPTED and not self._write_down(hold, delivered):
            return
        if not self._is_unwanted(hold, delivered):
            self._collect(hold, delivered, Collector(hold, delivered.outputs, alone=alone))

    def again(self, hold: Hold) -> None:
        """The step of a job whose attempt is delivered: only what is written down counts."""
        row = live_of(hold).delivered
        assert row is not None  # noqa: S101 - the table says so of what is delivered
        try:
            delivered = read(row, self._asking.output(hold))
        except Exception as error:  # the provider, or its key, is not known here; somebody may mend that
            if is_passing(error):
                raise
            self._later(hold, Delivered((), row.get("cost_usd_micros"), row.get("usage") or {}), None, error)
            return
        if not self._is_unwanted(hold, delivered):
            self._collect(hold, delivered, Collector(hold, delivered.outputs, alone=False))

    def _write_down(self, hold: Hold, delivered: Delivered) -> bool:
        """False: another has the job now, and goes on from what was written."""
        if self._records.deliver(hold, delivered) is not FactResult.MINE:
            return False
        live = live_of(hold)
        known_as = live.provider_job_id or delivered.provider_job_id
        hold.claim = replace(hold.claim, live=live._replace(phase=AttemptPhase.DELIVERED, provider_job_id=known_as))
        return True

    def _is_unwanted(self, hold: Hold, delivered: Delivered) -> bool:
        """A result that is not to be kept is not stored: the job ends canceled, and what it cost is on record."""
        claim = hold.claim
        if not (claim.cancel_requested or hold.stop.is_set()) or claim.entry.on_cancel != "refund":
            return False
        self._records.end(hold, Ending(JobEnd.CANCELED, attempt=_done(hold, delivered)), lambda: self._records.deliver(hold, delivered))  # fmt: skip
        return True

    def _collect(self, hold: Hold, delivered: Delivered, collector: Collector, *, asked_again: bool = False) -> None:
        tries = 0
        while True:
            try:
                if live_of(hold).phase == AttemptPhase.DELIVERED:
                    collector.check()
                assets = collector.collect()
            except LeaseLost:
                raise
            except UnusableResult as error:
                self._unusable(hold, delivered, collector, error, asked_again=asked_again)
                return
            except OutcomeUnknown as error:
                if not self._asked_again(hold, asked_again=asked_again):
                    self._later(hold, delivered, collector, error)
                return
            except Exception as error:  # S3 or the disk is away, or a fault of ours
                log.warning("job %s: a result is not stored yet", hold.claim.job_id, exc_info=True)
                tries += 1
                if self._let_go(hold, delivered, collector, error, tries):
                    return
                late = is_held_too_long(hold.claim)
                time.sleep(HOLD_PAUSE_SECONDS if late else min(HOLD_PAUSE_SECONDS, 0.2 * 2**tries))
            else:
                break
        reached("uploaded")
        self._succeed(hold, delivered, assets)

    def _let_go(self, hold: Hold, delivered: Delivered, collector: Collector, error: Exception, tries: int) -> bool:
        """Let go of a result that cannot be stored, where nothing is lost by it. False: it is held in memory. A worker that
        stops writes down whatever it has.
        """
        late = is_held_too_long(hold.claim)
        if not Delivered(collector.outputs).is_alone() or self._keep(collector) or hold.stopping:
            self._later(hold, delivered, collector, error)
        elif late and (tries >= LATE_TRIES or was_last(hold.claim)):
            self._lost(hold, delivered, error)
        elif live_of(hold).phase == AttemptPhase.ACCEPTED:  # it can be asked for again
            self._records.wait(hold, HOLD_PAUSE_SECONDS, f"its result is not stored yet: {error}", late=late)
        else:
            return False
        return True

    def _keep(self, collector: Collector) -> bool:
        """Bring what nobody else has to where others can find it: into the row, if it is small, or into the bucket as it
        came, if it is not the bucket that fails.
        """
        if collector.fits_the_row():
            return True
        try:
            collector.stage()
        except Exception:
            log.warning("a result is held in memory until it can be stored", exc_info=True)
            return False
        return True

    def _asked_again(self, hold: Hold, *, asked_again: bool) -> bool:
        """Ask the provider for the same generation again, which may name other addresses, and collect what it answers.
        False: it was asked before in this step, or cannot be, or does not answer with a result.
        """
        live = live_of(hold)
        if asked_again or live.phase == AttemptPhase.INTENT:
            return False
        try:
            provider, request = self._asking.provider(live), self._asking.request(hold, begins=False)
            if live.provider_job_id is not None:
                outcome = self._asking.read_callbacks(hold, provider, request)
                if not isinstance(outcome, Done) or live.phase == AttemptPhase.DELIVERED:
                    outcome = self._asking.ask(hold, provider, request)
            elif provider.recovery(request) == "idempotent":
                outcome = self._asking.repeat_start(hold, provider)
            else:
                return False
        except LeaseLost:
            raise
        except Exception:
            log.info("job %s: its result cannot be asked for again just now", hold.claim.job_id, exc_info=True)
            return False
        if not isinstance(outcome, Done):
            return False
        fresh = Delivered.of(outcome)
        collector = Collector(hold, fresh.outputs, alone=fresh.is_alone())
        self._collect(hold, fresh, collector, asked_again=True)
        return True

    def _unusable(
        self, hold: Hold, delivered: Delivered, collector: Collector, error: UnusableResult, *, asked_again: bool
    ) -> None:
        """What came is not what was ordered. Bytes that are whole would come again; what was cut off is asked for again,
        then perhaps generated again.
        """
        if error.cut_off:
            if self._asked_again(hold, asked_again=asked_again):
                return
            if live_of(hold).phase == AttemptPhase.ACCEPTED and not asked_again:
                self._later(hold, delivered, collector, error)
                return
        cost = delivered.cost_usd_micros
        self._records.fail(
            hold,
            ProviderError(
                error.code, str(error), retryable=error.cut_off, charged=cost != 0, cost_usd_micros=cost, elsewhere=True
            ),
            usage=dict(delivered.usage),
        )

    def _later(self, hold: Hold, delivered: Delivered, collector: Collector | None, error: Exception) -> None:
        """The result is there, and could not be collected: it is written down, and collected again later, to a limit."""
        if collector is not None:
            progress = replace(delivered, outputs=collector.outputs)
            new = live_of(hold).phase != AttemptPhase.DELIVERED or list(delivered.outputs) != collector.outputs
            if new and not self._write_down(hold, progress):
                return
        over, pause = collecting_is_over(hold.claim, fetching=isinstance(error, OutcomeUnknown | UnusableResult))
        if not (over and was_last(hold.claim)):
            self._records.wait(hold, pause, f"its result is not here yet: {error}", late=over)
            return
        try:
            assets = collector.usable() if collector is not None else []
        except UnusableResult:
            assets = []
        if assets:
            self._succeed(hold, delivered, assets)
            return
        self._lost(hold, delivered, error)

    def _lost(self, hold: Hold, delivered: Delivered, error: Exception) -> None:
        cost, why = delivered.cost_usd_micros, storable(f"the result could not be had: {error}")
        attempt = AttemptEnd(
            live_of(hold).number, AttemptPhase.FAILED, "result_lost", why, charged=cost != 0, cost_usd_micros=cost,
            usage=dict(delivered.usage),
        )  # fmt: skip
        self._records.end(hold, Ending(JobEnd.FAILED, error_code="result_lost", error_message=why, attempt=attempt))

    def _succeed(self, hold: Hold, delivered: Delivered, assets: list[NewAsset]) -> None:
        claim, stored = hold.claim, replace(delivered, outputs=assets)
        try:
            quantity = measured_quantity_milli(claim.entry.price.unit, claim.quantity_milli, assets, delivered.usage)
            cost = prices.credits_for(prices.PriceRate(*claim.rate), quantity)
        except Exception as error:  # a fault of ours
            log.exception("job %s: what its result costs cannot be said", claim.job_id)
            if self._write_down(hold, stored):
                self._later(hold, stored, None, error)
            return
        ending = Ending(
            JobEnd.SUCCEEDED,
            cost_credits=cost,
            assets=assets,
            result_hours=claim.entry.result_hours,
            attempt=_done(hold, delivered),
        )
        self._records.end(hold, ending, lambda: self._records.deliver(hold, stored))


def _done(hold: Hold, delivered: Delivered) -> AttemptEnd:
    cost = delivered.cost_usd_micros
    return AttemptEnd(
        live_of(hold).number, AttemptPhase.DONE, charged=bool(cost), cost_usd_micros=cost, usage=dict(delivered.usage)
    )
