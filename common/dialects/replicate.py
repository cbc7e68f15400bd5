"""A job as Replicate tells it: a prediction, of which answers and webhooks are made (../shared/wire/README.md, B1)."""

from typing import Any

from common.dialects.told import ToldJob
from common.settings import settings

STATUSES = {
    "queued": "starting",
    "running": "processing",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}
BASE = "/compat/replicate/v1"
OWNER = "headrace"


def prediction(job: ToldJob, *, creating: bool = False) -> dict[str, Any]:
    """A prediction. `creating`: as the answer to its order, where what is not over is only starting."""
    status = "starting" if creating and not job.has_ended else STATUSES[job.status]
    base = f"{settings().public_url}{BASE}/predictions/{job.id}"
    return {
        "id": str(job.id),
        "model": model_name(job.model),
        "version": "hidden",
        "status": status,
        "input": job.input,
        "output": output(job),
        "logs": "",
        "error": f"{job.error_message or job.error_code or 'it failed'}" if job.status == "failed" else None,
        "metrics": {"predict_time": job.seconds} if job.seconds is not None else {},
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.ended_at,
        "data_removed": False,
        "urls": {"get": base, "cancel": f"{base}/cancel"},
    }


def model_name(model: str) -> str:
    """`owner/name` of a model."""
    return model if "/" in model else f"{OWNER}/{model}"


def output(job: ToldJob) -> Any:
    """What a prediction has brought: addresses of pictures, one address of a film or a sound, parts of a text; None before."""
    if job.status != "succeeded":
        return None
    if job.kind == "text":
        return [job.text] if job.text else []
    urls = [each.url for each in job.files]
    return urls if job.kind == "image" else next(iter(urls), None)
