"""How a worker comes to a provider: by which route, with which key and files, and whether now."""

import random
from collections.abc import Callable

from models import callbacks, provider_keys
from models.db import single
from models.providers import BUILT_IN
from models.runs import Claim, LiveAttempt
from models.settings import settings
from workers import inputs, routing
from workers.leases import Hold
from workers.pressure import Report, pressure
from workers.providers.base import Callback, InputFile, OutcomeUnknown, Provider, ProviderError, Request
from workers.roster import Roster
from workers.routing import Choice, Go

SLOT_SECONDS = 60.0  # how long after the job's time limit a provider's slot is freed, if nobody frees it


def key_of(claim: Claim, number: int) -> str:
    """Our name for one attempt at a provider: the same after a crash."""
    return f"{claim.job_id}:{number}"


class Asking:
    """Providers, their limits and what they are asked, for one worker process."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._roster = Roster()
        self._chance = chance

    def choose(self, claim: Claim, live: LiveAttempt) -> Choice:
        """Choose a route, from the one that the claim wrote down on, and take a slot of its provider."""
        routes = claim.entry.routes
        if routes[live.route].provider == BUILT_IN:
            return Go(live.route)  # is in the house: has no limits, and is not worth two round trips
        return routing.take(
            pressure(), routes, self._roster.limits, live.route, key_of(claim, live.number),
            lease_seconds=max(0.0, claim.seconds_left) + SLOT_SECONDS, chance=self._chance(),
        )  # fmt: skip

    def told(
        self, claim: Claim, live: LiveAttempt, error: ProviderError | OutcomeUnknown | None, *, over: bool
    ) -> None:
        """What the provider's answer says about the provider. `over`: it works on the job no longer."""
        if live.provider == BUILT_IN:
            return
        report = routing.report_of(error)
        pause = error.retry_after_seconds if isinstance(error, ProviderError) else None
        if report is Report.OK and not over:
            return  # says nothing yet: some accept everything and fail it later
        pressure().report(
            live.provider, self._roster.limits(live.provider), key_of(claim, live.number), report,
            account=str(claim.account_id), retry_after_seconds=pause, release=over,
        )  # fmt: skip

    def left(self, claim: Claim, live: LiveAttempt) -> None:
        """Nobody waits for the provider any more."""
        if live.provider != BUILT_IN:
            pressure().release(live.provider, key_of(claim, live.number))

    def provider(self, live: LiveAttempt) -> Provider:
        """Who was asked. Raises ProviderError where it is not on the roster any more."""
        return self._roster.find(live.provider).provider

    def request(self, hold: Hold, live: LiveAttempt) -> Request:
        """What is asked. Raises ProviderError where we have no key, or a file that the input names cannot be had."""
        claim = hold.claim
        route = claim.entry.routes[min(live.route, len(claim.entry.routes) - 1)]
        own = None
        if live.provider != BUILT_IN:
            with single() as conn:
                own = provider_keys.find(conn, claim.account_id, live.provider)
            if own is None and not self._roster.find(live.provider).has_key:
                raise ProviderError(
                    "not_configured",
                    f"the key of provider {live.provider!r} is not set",
                    retryable=False,
                    elsewhere=True,
                )
        # Only a call that begins a generation sends them; a poll names what was begun.
        files = {} if live.phase == "accepted" else _files(hold)
        return Request(
            model=route.model,
            kind=claim.entry.kind,
            input=inputs.plain(claim.input, files),
            files=files,
            options=route.options,
            seconds_left=max(1.0, claim.seconds_left),
            canceled=hold.stop.is_set,
            callback_url=_callback_url(claim, live),
            api_key=own.get_secret_value() if own else None,
        )

    def calls(self, claim: Claim, live: LiveAttempt) -> list[Callback]:
        """What the provider has called back with, newest first."""
        if live.provider == BUILT_IN:
            return []
        with single() as conn:
            return [Callback(*call) for call in reversed(callbacks.calls(conn, claim.job_id, live.number))]


def _files(hold: Hold) -> dict[str, InputFile]:
    try:
        return inputs.gather(hold.claim, lost=lambda: hold.lost)
    except inputs.UnusableInput as error:
        raise ProviderError(error.code, error.message, retryable=error.retryable, elsewhere=False) from error


def _callback_url(claim: Claim, live: LiveAttempt) -> str | None:
    base = settings().callback_url
    return f"{base}/hooks/providers/{callbacks.token_of(claim.job_id, live.number)}" if base else None
