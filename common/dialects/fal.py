"""A job as fal tells it: a request's status and its result, of which answers and webhooks are made (../shared/wire/README.md, B3)."""

from typing import Any, NamedTuple
from urllib.parse import quote

from common.dialects.told import ToldFile, ToldJob
from common.settings import settings

FAL = "/compat/fal"
RUN, QUEUE, REST, CDN, PROXY = (f"{FAL}/{each}" for each in ("run", "queue", "rest", "cdn", "proxy"))
NAMESPACES = ("workflows", "comfy")  # before an owner, in names of three parts
HOUSE = "headrace"  # the owner of models whose ids name nobody
BAR = 20  # characters of a line of progress

# What fal calls our failures, where it has a word that programs look for.
FAL_TYPES = {"moderated": "content_policy_violation", "timed_out": "generation_timeout"}
CANCELED_TYPE, LATE_TYPE, GONE_TYPE = "client_cancelled", "request_timeout", "result_gone"
ABOUT_THE_INPUT = frozenset(
    {"invalid_input", "moderated", "invalid_image", "unknown_voice", "refused_address", "broken_file", "unknown_file",
     "unwanted_file", "empty_file", "file_too_large", "file_gone", "invalid_data_uri", "bad_status", "bad_encoding", "too_slow",
     "too_large"}
)  # fmt: skip


class FalFailure(NamedTuple):
    """Why a request has no result: an HTTP status that no library tries again, what to tell a person, and a word for programs."""

    status: int
    detail: str
    error_type: str


def app_of(name: str) -> str:
    """`owner/alias` of what a program calls a model: its addresses have no more of it."""
    parts = [each for each in name.split("/") if each]
    if len(parts) == 1:
        parts = [HOUSE, *parts]
    return "/".join(parts[: 3 if parts[:1] and parts[0] in NAMESPACES else 2])


def request_addresses(job: ToldJob, name: str | None = None) -> dict[str, str]:
    """Where a request is looked at, and called off. `name`: what its program calls the model; None: what we do."""
    app = quote(app_of(name or job.model), safe="/")
    base = f"{settings().public_url}{QUEUE}/{app}/requests/{job.id}"
    return {
        "request_id": str(job.id),
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
    }


def request_status(job: ToldJob, name: str | None = None, *, with_logs: bool = False) -> dict[str, Any]:
    """How a request stands. The keys of each status are those without which fal's libraries break."""
    found = request_addresses(job, name)
    logs = request_logs(job) if with_logs else None
    if job.status == "queued":
        return {"status": "IN_QUEUE", "queue_position": max(0, job.position or 0), **found}
    if not job.has_ended:
        return {"status": "IN_PROGRESS", "logs": logs, **found}
    metrics = {} if job.seconds is None else {"inference_time": job.seconds}
    done = {"status": "COMPLETED", "logs": logs, "metrics": metrics, **found}
    failed = failure_of(job)
    return done if failed is None else {**done, "error": failed.detail, "error_type": failed.error_type}


def request_logs(job: ToldJob) -> list[dict[str, Any]]:
    """What is known of a request's way: how far it is. Nothing where nobody knows."""
    if job.progress is None:
        return []
    done = max(0, min(job.progress, 100))
    filled = done * BAR // 100
    return [
        {
            "message": f"{done:3d}%|{'█' * filled}{' ' * (BAR - filled)}| {done}/100", "level": "INFO", "source": HOUSE,
            "timestamp": job.ended_at or job.started_at or job.created_at,
        }
    ]  # fmt: skip


def failure_of(job: ToldJob) -> FalFailure | None:
    """Why a request that has ended has no result. None: it has one."""
    if job.status == "canceled":
        return FalFailure(400, "the request was canceled", CANCELED_TYPE)
    if job.status == "failed":
        code = job.error_code or "generation_failed"
        words = job.error_message or "the generation failed"
        return FalFailure(422 if code in ABOUT_THE_INPUT else 500, words, FAL_TYPES.get(code, code))
    if job.status == "succeeded" and (job.text is None if job.kind == "text" else not job.files):
        return FalFailure(410, "the result is not kept any more", GONE_TYPE)
    return None


def request_result(job: ToldJob) -> dict[str, Any]:
    """What a request that has succeeded has brought."""
    said = {name: job.input[name] for name in ("seed", "prompt") if job.input.get(name) is not None}
    if job.kind == "text":
        return {"output": job.text or "", "partial": False}
    if job.kind == "image" and not job.brings_one:
        timings = {} if job.seconds is None else {"timings": {"inference": job.seconds}}
        return {"images": [_file(each) for each in job.files], **timings, **said}
    first = next((_file(each) for each in job.files), None)
    return {{"image": "image", "video": "video"}.get(job.kind, "audio"): first, **said}


def _file(file: ToldFile) -> dict[str, Any]:
    measured = {"width": file.width, "height": file.height, "duration": file.duration_seconds}
    return {
        "url": file.url,
        "content_type": file.media_type,
        "file_name": file.name,
        "file_size": file.size_bytes,
        **{name: value for name, value in measured.items() if value is not None},
    }


def failure_body(failed: FalFailure, request_id: str) -> dict[str, Any]:
    """A failed request's result. The library for JavaScript shows `message`, that for Python `detail`."""
    return {
        "detail": failed.detail,
        "message": failed.detail,
        "error_type": failed.error_type,
        "request_id": request_id,
    }


def webhook_body(job: ToldJob, _event: str) -> dict[str, Any]:
    """What a request's `fal_webhook` is told at its end."""
    said = {"request_id": str(job.id), "gateway_request_id": str(job.id)}
    failed = failure_of(job)
    if failed is None:
        return {**said, "status": "OK", "payload": request_result(job)}
    return {
        **said,
        "status": "ERROR",
        "error": failed.detail,
        "payload": {"detail": failed.detail, "error_type": failed.error_type},
    }
