"""What happens to a job, said once for all who look: a line of the log, a figure, the end of its trace."""

import logging
import time
from uuid import UUID

from common import logs
from common.settings import settings
from common.telemetry import figures, traces

log = logging.getLogger("jobs")


def ordered(job_id: UUID, account_id: UUID, model: str, *, queue: str, price_credits: int) -> None:
    """A job was accepted."""
    figures.ORDERED.add(model)
    _tell("job ordered", job_id, account_id, model=model, queue=queue, price_credits=price_credits)


def started(job_id: UUID, account_id: UUID, model: str, *, attempt: int, provider: str) -> None:
    """An attempt at a job begins."""
    figures.STARTED.add(model)
    _tell("job started", job_id, account_id, model=model, attempt=attempt, provider=provider)


def retried(code: str) -> None:
    """An attempt has failed, and another follows."""
    figures.RETRIES.add(code)


def ended(
    job_id: UUID, account_id: UUID, outcome: str, *, model: str = figures.OTHER, attempt: int = 0, code: str | None = None,
    credits: int = 0,
) -> None:  # fmt: skip
    """A job has ended: `succeeded`, `failed` or `canceled`; `code` says why it failed, `credits` what it was charged."""
    seconds = max(0.0, time.time() - (job_id.int >> 80) / 1000)  # its id tells when it was ordered
    figures.ENDED.add(model, outcome, code or "")
    figures.LASTED.note(seconds, model, outcome)
    if credits:
        figures.SPENT.add("job", amount=credits)
    said = {"code": code} if code else {}
    _tell(
        f"job {outcome}",
        job_id,
        account_id,
        model=model,
        attempt=attempt,
        seconds=round(seconds, 3),
        credits=credits,
        **said,
    )
    traces.note_root(
        job_id, code if outcome == "failed" else None,
        {
            "headrace.account_id": str(account_id), "headrace.model": model, "headrace.outcome": outcome,
            "headrace.attempts": attempt,
        },
    )  # fmt: skip


def _tell(event: str, job_id: UUID, account_id: UUID, **more: str | float) -> None:
    if settings().log_jobs and log.isEnabledFor(logging.INFO):
        logs.tell(log, event, job=job_id, account=account_id, **more)
