"""A job as OpenAI tells it: pictures, a video, a chat completion, a response (../shared/wire/README.md, B2). Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from common.dialects.told import ToldJob

BASE = "/compat/openai/v1"
VIDEO_STATUSES = {
    "queued": "queued",
    "running": "in_progress",
    "succeeded": "completed",
    "failed": "failed",
    "canceled": "failed",  # its libraries know no other word for an end
}
RESPONSE_STATUSES = {**VIDEO_STATUSES, "canceled": "cancelled"}
OURS_OF_INPUT = frozenset({"invalid_input", "moderated", "invalid_image", "unknown_voice", "input_erased"})

CountedUsage = Mapping[str, Any] | None  # what a text's provider counted


def name_of_job(kind: str, job_id: UUID) -> str:
    """A job's id with what its kind begins with, such as `video_…`."""
    return f"{kind}_{job_id.hex}"


def seconds_of(moment: datetime | None) -> int | None:
    """A moment as this dialect has it: whole seconds since 1970."""
    return None if moment is None else int(moment.timestamp())


def why_failed(job: ToldJob) -> dict[str, str] | None:
    """The code and the words of a job that has brought nothing."""
    if job.status == "canceled":
        return {"code": "canceled", "message": "the job was canceled"}
    if job.status != "failed":
        return None
    return {
        "code": job.error_code or "generation_failed",
        "message": job.error_message or job.error_code or "the generation failed",
    }


def failure_status(code: str) -> int:
    """The HTTP status of a job's failure: what it was asked for cannot be had (400), or the fault was not its client's (502)."""
    return 400 if code in OURS_OF_INPUT or code == "canceled" else 504 if code == "timed_out" else 502


def video(job: ToldJob) -> dict[str, Any]:
    """A video, as it is ordered, asked for and listed."""
    file = job.files[0] if job.files else None
    return {
        "id": name_of_job("video", job.id),
        "object": "video",
        "model": job.model,
        "status": VIDEO_STATUSES[job.status],
        "progress": 100 if job.status == "succeeded" else min(99, job.progress or 0),
        "created_at": seconds_of(job.created_at),
        "completed_at": seconds_of(job.ended_at) if job.status == "succeeded" else None,
        "expires_at": seconds_of(file.expires_at) if file else None,
        "prompt": _first(job.input, "prompt", "text"),
        "size": size_text(job),
        "seconds": _seconds_text(job),
        "error": why_failed(job),
        "remixed_from_video_id": None,
        "url": file.url if file else None,
    }


def _first(given: Mapping[str, Any], *names: str) -> str | None:
    return next((str(given[name]) for name in names if given.get(name) is not None), None)


def size_text(job: ToldJob) -> str:
    """Width and height, as they came out, or as they were asked for; empty where neither is known."""
    file = next((each for each in job.files if each.width and each.height), None)
    if file is not None:
        return f"{file.width}x{file.height}"
    width, height = job.input.get("width"), job.input.get("height")
    if isinstance(width, int) and isinstance(height, int):
        return f"{width}x{height}"
    return _first(job.input, "size", "resolution", "aspect_ratio") or ""


def _seconds_text(job: ToldJob) -> str:
    asked = _first(job.input, "seconds", "duration", "duration_seconds")
    if asked is not None:
        return asked
    lasts = job.files[0].duration_seconds if job.files else None
    return "" if lasts is None else f"{lasts:g}"


def tokens(usage: CountedUsage) -> tuple[int, int] | None:
    """Tokens of the question and of the answer; None unless both were counted: half of it breaks those who read it strictly."""
    asked, said = (usage or {}).get("tokens_in"), (usage or {}).get("tokens_out")
    return (int(asked), int(said)) if isinstance(asked, int | float) and isinstance(said, int | float) else None


def chat_usage(usage: CountedUsage) -> dict[str, Any]:
    """`usage` of a chat completion, or nothing."""
    if (counted := tokens(usage)) is None:
        return {}
    asked, said = counted
    return {"usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}}


def completion_name(job_id: UUID) -> str:
    """The id of a chat completion and of all its chunks."""
    return f"chatcmpl-{job_id.hex}"


def completion(job: ToldJob, usage: CountedUsage) -> dict[str, Any]:
    """A text as a chat completion."""
    return {
        "id": completion_name(job.id), "object": "chat.completion", "created": seconds_of(job.created_at), "model": job.model,
        "choices": [
            {
                "index": 0, "message": {"role": "assistant", "content": job.text or "", "refusal": None},
                "finish_reason": "stop", "logprobs": None,
            }
        ],
        **chat_usage(usage),
    }  # fmt: skip


def completion_chunk(job: ToldJob, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    """A part of a chat completion that is streamed."""
    return {
        "id": completion_name(job.id), "object": "chat.completion.chunk", "created": seconds_of(job.created_at), "model": job.model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}],
    }  # fmt: skip


def message_item(job_id: UUID, text: str | None, status: str) -> dict[str, Any]:
    """The one item that a text's response brings. Without `text` it has no part yet."""
    return {
        "type": "message", "id": name_of_job("msg", job_id), "role": "assistant", "status": status,
        "content": [] if text is None else [text_part(text)],
    }  # fmt: skip


def text_part(text: str) -> dict[str, Any]:
    """A text as a part of a response's item."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def response(job: ToldJob, usage: CountedUsage, *, background: bool = False) -> dict[str, Any]:
    """A text as a response."""
    counted = tokens(usage)
    failed = why_failed(job) if job.status == "failed" else None
    ended = job.status == "succeeded"
    return {
        "id": name_of_job("resp", job.id), "object": "response", "created_at": seconds_of(job.created_at),
        "completed_at": seconds_of(job.ended_at) if ended else None,
        "status": RESPONSE_STATUSES[job.status], "model": job.model, "background": background,
        "output": [message_item(job.id, job.text or "", "completed")] if ended else [],
        "error": {"code": "server_error", "message": failed["message"], "reason": failed["code"]} if failed else None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": False, "tool_choice": "auto",
        "tools": [], "temperature": None, "top_p": None, "previous_response_id": None, "store": True,
        **({} if counted is None else {"usage": _response_usage(*counted)}),
    }  # fmt: skip


def _response_usage(asked: int, said: int) -> dict[str, Any]:
    return {
        "input_tokens": asked, "output_tokens": said, "total_tokens": asked + said,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
