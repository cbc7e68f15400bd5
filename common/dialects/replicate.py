"""A job as Replicate tells it: a prediction, of which answers and webhooks are made (../shared/wire/README.md, B1)."""

import hashlib
from functools import lru_cache
from typing import Any
from uuid import UUID

from common.dialects.told import ToldJob
from common.settings import settings
from common.tokens import PREDICTION_STREAM, body_of, make_token

STATUSES = {
    "queued": "starting",
    "running": "processing",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}
BASE = "/compat/replicate/v1"
OWNER = "headrace"
BAR = 20  # characters of a line of progress


def prediction(job: ToldJob, *, creating: bool = False) -> dict[str, Any]:
    """A prediction. `creating`: as the answer to its order, where what is not over is only starting."""
    status = "starting" if creating and not job.has_ended else STATUSES[job.status]
    base = address(f"/predictions/{job.id}")
    urls = {"get": base, "cancel": f"{base}/cancel"}
    return {
        "id": str(job.id),
        "model": model_name(job.model),
        "version": version_id(job.model, job.version),
        "status": status,
        "input": job.input,
        "output": output(job),
        "logs": logs(job),
        "error": f"{job.error_message or job.error_code or 'it failed'}" if job.status == "failed" else None,
        "metrics": metrics(job),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.ended_at,
        "data_removed": job.status == "succeeded" and not job.files,
        "source": "api",
        "urls": {**urls, "stream": stream_address(job.id)} if job.kind == "text" else urls,
    }


def prediction_at(job: ToldJob, event: str) -> dict[str, Any]:
    """A prediction as it was when this happened to it, whatever has happened since: what its webhook tells. `event`: one of our own;
    of an output it has only those before it and itself, which are in `job`.
    """
    if event == "job.queued":
        job = job._replace(
            status="queued", started_at=None, ended_at=None, files=[], text=None, progress=None, error_code=None,
            error_message=None,
        )  # fmt: skip
    elif event == "job.output":
        return {**prediction(job._replace(ended_at=None)), "status": "processing"}
    return prediction(job)


def address(path: str) -> str:
    """The whole address of a path of this dialect."""
    return f"{settings().public_url}{BASE}{path}"


def model_name(model: str) -> str:
    """`owner/name` of a model."""
    return model if "/" in model else f"{OWNER}/{model}"


@lru_cache(maxsize=10_000)
def version_id(model: str, version: int) -> str:
    """What one version of a model is called: 64 hexadecimal digits, for ever the same."""
    return hashlib.sha256(f"headrace model version\n{model}\n{version}".encode()).hexdigest()


def stream_address(job_id: UUID) -> str:
    """Where a text can be read as it is written, without a key: the address is the secret."""
    return address(f"/streams/{make_token(PREDICTION_STREAM, job_id.bytes)}")


def streamed_by(token: str) -> UUID | None:
    """The job that such an address is of; None: we did not make it."""
    body = body_of(PREDICTION_STREAM, token)
    return None if body is None else UUID(bytes=body)


def output(job: ToldJob) -> Any:
    """What a prediction has brought: a list of addresses, or one, as its model does; parts of a text; None before, and where nothing of
    it is kept any more.
    """
    if job.status != "succeeded":
        return None
    if job.kind == "text":
        return None if job.text is None else [job.text] if job.text else []
    urls = [each.url for each in job.files]
    return next(iter(urls), None) if job.brings_one else urls or None


def logs(job: ToldJob) -> str:
    """How far it is, as a line that both libraries read; nothing where nobody knows."""
    if job.progress is None:
        return ""
    done = max(0, min(job.progress, 100))
    filled = done * BAR // 100
    return f"{done:3d}%|{'█' * filled}{' ' * (BAR - filled)}| {done}/100\n"


def metrics(job: ToldJob) -> dict[str, float]:
    """How long it took."""
    if job.ended_at is None:
        return {}
    found = {"total_time": max(0.0, (job.ended_at - job.created_at).total_seconds())}
    return found if job.seconds is None else {**found, "predict_time": job.seconds}
