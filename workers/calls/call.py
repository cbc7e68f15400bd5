"""How a worker comes to a provider: by which route, with which key and files, and whether now."""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from pydantic import SecretStr

from common.settings import settings
from common.telemetry import figures, traces
from models.catalogue import provider_keys
from models.catalogue.providers import BUILT_IN
from models.db import single
from models.jobs import callbacks, pauses, restored
from models.jobs.rescues import Slot
from models.jobs.steps import Claim, LiveAttempt
from workers.calls import inputs, routing
from workers.calls.limits import Report, pressure
from workers.calls.measured import MeasuredProvider
from workers.calls.roster import Roster
from workers.calls.routing import Choice, Go
from workers.leases import Hold, LeaseLost
from workers.providers.base import (
    Callback,
    Done,
    InputFile,
    Outcome,
    OutcomeUnknown,
    Output,
    Pending,
    Provider,
    ProviderError,
    Request,
    Unjudged,
)
from workers.telling import telling

log = logging.getLogger(__name__)

ASK_SECONDS = 30.0  # a question may take so long, also past the time limit
SLOT_SECONDS = 60.0  # how long after the job's time limit a provider's slot is freed, if nobody frees it


def key_of(claim: Claim, number: int) -> str:
    """Our name for one attempt at a provider: the same after a crash."""
    return f"{claim.job_id}:{number}"


class Asking:
    """Providers, their limits and what they are asked, for one worker process."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._roster = Roster()
        self._chance = chance

    def choose(self, hold: Hold) -> Choice:
        """Choose a route, from the one that the claim wrote down on, and take a slot of its provider."""
        claim, live = hold.claim, live_of(hold)
        routes, member, paused = claim.entry.routes, key_of(claim, live.number), pauses.last_seen().providers
        if routes[live.route].provider == BUILT_IN and BUILT_IN not in paused:
            return Go(live.route)  # is in the house: has no limits, and is not worth two round trips
        with single() as conn:
            own = provider_keys.providers_of(conn, claim.account_id)

        def credential(name: str) -> str:
            return provider_keys.credential(name, claim.account_id, own=name in own)

        choice = routing.take(
            pressure(), routes, self._roster.limits, live.route, member, pressure_key=credential,
            lease_seconds=max(0.0, claim.seconds_left) + SLOT_SECONDS, chance=self._chance(), paused=paused,
        )  # fmt: skip
        if isinstance(choice, Go):
            hold.slot = Slot(credential(routes[choice.route].provider), member)
        return choice

    def begin_with_own_key(self, hold: Hold) -> None:
        """Write down the account's own key, if it has one at the attempt's provider: what it begins, it is asked for with.

        One that cannot be read any more, because SECRET_KEY has changed, is none.
        """
        claim, live = hold.claim, live_of(hold)
        if live.provider == BUILT_IN:
            return
        with single() as conn:
            sealed = provider_keys.begin_with(
                conn, claim.account_id, live.provider, job_id=claim.job_id, number=live.number, token=claim.token
            )
            if sealed is not None and provider_keys.unsealed(sealed) is None:
                provider_keys.begin_without(conn, claim.job_id, live.number)
                sealed = None
        if sealed is not None:
            hold.claim = replace(claim, live=live._replace(own_key=sealed))
        credential = credential_of(claim, live_of(hold))
        if hold.slot is not None and hold.slot.credential != credential:  # saved, removed or unreadable since
            pressure().release(*hold.slot)
            hold.slot = None

    def record_outcome(self, hold: Hold, error: ProviderError | OutcomeUnknown | None, *, finished: bool) -> None:
        """What the provider's answer says about the provider. `finished`: it works on the job no longer.

        Best effort: whatever goes wrong here, the answer itself counts.
        """
        claim, live = hold.claim, live_of(hold)
        if live.provider == BUILT_IN:
            return
        report = routing.report_of(error)
        pause = error.retry_after_seconds if isinstance(error, ProviderError) else None
        if report is Report.OK and not finished:
            return  # says nothing yet: some accept everything and fail it later
        try:
            pressure().report(
                credential_of(claim, live), self._roster.limits(live.provider), key_of(claim, live.number), report,
                account=str(claim.account_id), retry_after_seconds=pause, release=finished,
            )  # fmt: skip
            hold.released = hold.released or finished
        except Exception:
            log.exception("job %s: what its provider answered is not reported", claim.job_id)

    def release_slot(self, hold: Hold) -> None:
        """Nobody waits for the provider any more: give its slot back, however the attempt has come to its end."""
        claim, live = hold.claim, hold.claim.live
        if live is None or hold.released or (live.provider == BUILT_IN and hold.slot is None):
            return
        hold.released = True
        try:
            pressure().release(*(hold.slot or Slot(credential_of(claim, live), key_of(claim, live.number))))
        except Exception:
            log.exception("job %s: its provider's slot is freed when it lapses", claim.job_id)

    def provider(self, live: LiveAttempt) -> Provider:
        """Who was asked. Raises ProviderError where it is not on the roster any more."""
        found = self._roster.find(live.provider).provider
        return MeasuredProvider(found) if figures.is_on() or traces.is_on() else found

    def request(self, hold: Hold, *, begins: bool) -> Request:
        """What is asked. Raises ProviderError where we have no key, or a file that the input names cannot be had.

        `begins`: it begins a generation, or repeats its beginning, so that the files go with it.
        """
        claim, live = hold.claim, live_of(hold)
        route = claim.entry.routes[min(live.route, len(claim.entry.routes) - 1)]
        own = self._own_key(live)
        files = _files(hold) if begins else {}
        return Request(
            model=route.model,
            kind=claim.entry.kind,
            input=route.renamed(inputs.plain(claim.input, files)),
            files=route.renamed(files),
            options=route.options,
            seconds_left=max(1.0 if claim.begins else ASK_SECONDS, claim.seconds_left),
            canceled=hold.stop.is_set,
            callback_url=_callback_url(claim, live),
            api_key=own.get_secret_value() if own else None,
            confirm=hold.confirm,
        )

    def _own_key(self, live: LiveAttempt) -> SecretStr | None:
        """The account's own key, if that began the attempt. Raises ProviderError where there is no key at all."""
        if live.provider == BUILT_IN:
            return None
        own = provider_keys.unsealed(live.own_key) if live.own_key is not None else None
        if own is None and (live.own_key is not None or not self._roster.find(live.provider).has_key):
            raise ProviderError(
                "not_configured", f"the key of provider {live.provider!r} is not set", retryable=False, elsewhere=True
            )
        return own

    def start(self, hold: Hold, provider: Provider, request: Request) -> Outcome:
        """Begin a generation. A text is told as it comes to whoever follows its job."""
        claim = hold.claim
        key = key_of(claim, live_of(hold).number)
        if request.kind != "text":
            return provider.start(request, key)
        with telling(claim.account_id, claim.job_id, claim.token, claim.attempts) as said:
            return provider.start(replace(request, said=said), key)

    def repeat_start(self, hold: Hold, provider: Provider) -> Outcome:
        """Begin it again under the same key, which is the same generation. What turns us away before the call (a file that
        cannot be had, an option that is wrong by now) says nothing about it. What lived in a backup is not begun again: a
        provider remembers a key for some hours only, and the backup may be older.
        """
        with single() as conn:
            if restored.is_restored(conn, hold.claim.job_id):
                raise OutcomeUnknown(restored.REASON)
        try:
            return self.start(hold, provider, self.request(hold, begins=True))
        except ProviderError as error:
            if hold.called:
                raise
            raise OutcomeUnknown(f"it could not be asked: {error.message}") from error

    def ask(self, hold: Hold, provider: Provider, request: Request) -> Outcome:
        """A poll of what is known by its id; where that asks nobody, its start is repeated, if that is the same."""
        outcome = provider.poll(request, live_of(hold).provider_job_id or "")
        if isinstance(outcome, Pending) and provider.recovery(request) == "idempotent":
            return self.repeat_start(hold, provider)
        return outcome

    def may_be_repeated(self, hold: Hold) -> bool:
        """Whether another worker may have begun the attempt's generation by repeating its start."""
        try:
            return self.provider(live_of(hold)).recovery(self.request(hold, begins=False)) == "idempotent"
        except ProviderError:
            return False  # nobody can be asked

    def output(self, hold: Hold) -> Callable[[str, str | None], Output]:
        """What makes an output of an address that the attempt's provider has answered with."""
        live = live_of(hold)
        provider, request = self.provider(live), self.request(hold, begins=False)
        return lambda address, media_type: provider.output(request, address, media_type)

    def read_callbacks(self, hold: Hold, provider: Provider, request: Request) -> Outcome | None:
        """What the provider has called back with, as far as it may be believed. A terminal word counts, whatever came
        before or after it; else the newest. Raises ProviderError if the word is that the generation failed.

        Calls that say nothing, or nothing any more, are forgotten, so that there is always room for the last one.
        """
        claim, live = hold.claim, live_of(hold)
        if live.provider == BUILT_IN or not claim.has_calls:
            return None
        with single() as conn:
            calls = callbacks.calls(conn, claim.job_id, live.number)
        pending: Outcome | None = None
        useless: list[int] = []
        try:
            for call in reversed(calls):
                try:
                    outcome = provider.callback(
                        request, live.provider_job_id, Callback(call.headers, call.body, call.received_at)
                    )
                except (ProviderError, OutcomeUnknown):
                    raise
                except Unjudged:
                    continue  # kept, and read again
                except Exception:  # it would be read again, and break again, for ever
                    log.exception("job %s: a call back cannot be read", claim.job_id)
                    outcome = None
                if isinstance(outcome, Done):
                    return outcome
                if outcome is None or pending is not None:
                    useless.append(call.id)
                pending = pending or outcome
        finally:
            _forget(useless)
        return pending


def _forget(calls: Sequence[int]) -> None:
    if not calls:
        return
    try:
        with single() as conn:
            callbacks.forget_calls(conn, calls)
    except Exception:
        log.warning("calls back that say nothing are kept a little longer", exc_info=True)


def live_of(hold: Hold) -> LiveAttempt:
    """The attempt that the step is about."""
    live = hold.claim.live
    assert live is not None  # noqa: S101 - next_step said so
    return live


def credential_of(claim: Claim, live: LiveAttempt) -> str:
    """Under which name the provider's limits are counted: each key has its own."""
    return provider_keys.credential(live.provider, claim.account_id, own=live.own_key is not None)


def _files(hold: Hold) -> dict[str, InputFile]:
    try:
        return inputs.gather(hold.claim, lost=lambda: hold.lost or hold.stop.is_set())
    except inputs.UnusableInput as error:
        if hold.lost:
            raise LeaseLost("another worker has the job") from error
        raise ProviderError(error.code, error.message, retryable=error.retryable, elsewhere=False) from error


def _callback_url(claim: Claim, live: LiveAttempt) -> str | None:
    base = settings().callback_url
    return f"{base}/hooks/providers/{callbacks.token_of(claim.job_id, live.number)}" if base else None
