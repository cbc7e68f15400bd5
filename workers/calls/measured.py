"""A provider whose calls are noted: how long each took and what came of it. Stands before another only where somebody looks."""

import time
from collections.abc import Callable
from typing import TypeVar

from common.telemetry import figures, traces
from workers.providers.base import (
    Callback,
    Done,
    Outcome,
    OutcomeUnknown,
    Output,
    Pending,
    Provider,
    ProviderError,
    Recovery,
    Request,
)

_Answer = TypeVar("_Answer")


class MeasuredProvider:
    """The same provider, as far as anybody can tell."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.name = provider.name

    def recovery(self, request: Request) -> Recovery:
        return self._provider.recovery(request)

    def start(self, request: Request, idempotency_key: str) -> Outcome:
        return self._noted("start", lambda: self._provider.start(request, idempotency_key))

    def poll(self, request: Request, provider_job_id: str) -> Outcome:
        return self._noted("poll", lambda: self._provider.poll(request, provider_job_id))

    def lookup(self, request: Request, idempotency_key: str) -> Outcome | None:
        return self._noted("lookup", lambda: self._provider.lookup(request, idempotency_key))

    def cancel(self, request: Request, provider_job_id: str) -> None:
        self._noted("cancel", lambda: self._provider.cancel(request, provider_job_id))

    def output(self, request: Request, address: str, claimed_media_type: str | None = None) -> Output:
        return self._provider.output(request, address, claimed_media_type)

    def callback(self, request: Request, provider_job_id: str | None, call: Callback) -> Outcome | None:
        return self._provider.callback(request, provider_job_id, call)

    def _noted(self, call: str, ask: Callable[[], _Answer]) -> _Answer:
        begun, outcome = time.perf_counter(), "fault"
        with traces.span(f"provider.{call}", kind="client") as mark:
            try:
                answer = ask()
                outcome = outcome_of(answer)
            except Exception as error:
                outcome = outcome_of_error(error)
                raise
            else:
                return answer
            finally:
                mark.note({"headrace.provider": self.name, "headrace.outcome": outcome})
                figures.PROVIDER_CALLS.note(time.perf_counter() - begun, self.name, call, outcome)


def outcome_of(answer: object) -> str:
    """What an answer is called among figures."""
    return "done" if isinstance(answer, Done) else "pending" if isinstance(answer, Pending) else "nothing"


def outcome_of_error(error: Exception) -> str:
    """The same of what was raised: `limited`, `refused` (this job), `failed` (the provider), `unknown`, or `fault` (ours)."""
    if isinstance(error, ProviderError):
        return "limited" if error.limited else "failed" if error.retryable else "refused"
    return "unknown" if isinstance(error, OutcomeUnknown) else "fault"
