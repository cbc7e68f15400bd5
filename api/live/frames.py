"""Events as clients read them: in lists, and as frames of streams. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from common.links import url_of
from models.events.events import StoredEvent
from models.events.kinds import JOB_RUNNING, JOB_WAITING
from models.jobs import words
from models.jobs.begun import BegunJob


class Stand(NamedTuple):
    """How a living job stands. `run` is its run's token, which only grows: an attempt that was not made is taken off the record,
    and the next one has its number.
    """

    run: int
    attempt: int
    waits: bool


class LiveWord(NamedTuple):
    """Something of a job that is not kept, and how the job stands, where it tells that."""

    job_id: UUID
    frame: bytes
    stand: Stand | None = None


def event_view(event: StoredEvent) -> dict[str, Any]:
    """An event, as GET /v1/events answers and as its frame carries it."""
    data = event.data
    if "error" in data:  # of a job that failed before this was said in our own words
        code, message = words.failure(data["error"]["code"], data["error"]["message"])
        data = {**data, "error": {"code": code, "message": message}}
    if event.type == "job.output" and data:  # nothing is left of what a forgotten job brought
        # Only what is the same for all time is stored with an event; addresses are made here.
        output = dict(data["output"])
        asset_id = UUID(output["id"])
        thumbnail = url_of(asset_id, thumbnail=True) if output.pop("thumbnail") else None
        data = {"output": {**output, "url": url_of(asset_id), "thumbnail_url": thumbnail}}
    return {
        "number": event.number,
        "type": event.type,
        "job_id": event.job_id,
        "created_at": event.created_at,
        "data": data,
    }


def reset_view(current: int) -> dict[str, Any]:
    """What stands for events that are not kept any more: look at everything anew, and go on from this number."""
    return {"number": current, "type": "reset", "job_id": None, "created_at": None, "data": {}}


def event_frame(event: StoredEvent) -> bytes:
    """An event on a stream."""
    return _frame(event.type, event_view(event), event.number)


def reset_frame(current: int) -> bytes:
    """A reset on a stream."""
    return _frame("reset", reset_view(current), current)


def live_frame(kind: str, job_id: UUID, data: Mapping[str, Any]) -> bytes:
    """What is only live: it has no number, and is not sent again."""
    return _frame(kind, {"number": None, "type": kind, "job_id": job_id, "created_at": None, "data": data}, None)


def live_word(kind: str, job_id: UUID, data: Mapping[str, Any]) -> LiveWord:
    """What is only live, and how its job stands since, where it says so; clients are not told of runs."""
    stand = None
    match data:
        case {"run": int(run), "attempt": int(attempt)} if kind in {JOB_RUNNING, JOB_WAITING}:
            stand = Stand(run, attempt, kind == JOB_WAITING)
    return LiveWord(job_id, live_frame(kind, job_id, {name: data[name] for name in data if name != "run"}), stand)


def begun_word(job: BegunJob) -> LiveWord:
    """How a job that has begun stands, in the words in which it was told when it came to that."""
    said = {"run": job.run, "attempt": job.attempt}
    if job.reason is None:
        return live_word(JOB_RUNNING, job.job_id, said)
    waits = {"reason": words.waiting(job.reason), "seconds": round(max(0.0, job.seconds), 1)}
    return live_word(JOB_WAITING, job.job_id, {**said, **waits})


def state_frame(kind: str, state: Mapping[str, Any], number: int) -> bytes:
    """How things stand at the event of this number: the first frame of a stream that does not resume."""
    return _frame(
        kind, {"number": number, "type": kind, "job_id": state.get("id"), "created_at": None, "data": state}, number
    )


def place_frame(number: int) -> bytes:
    """Nothing but the number of the newest event: where a stream goes on that has nothing to show first."""
    return b"id: %d\n\n" % number


def _frame(kind: str, body: Mapping[str, Any], number: int | None) -> bytes:
    head = b"" if number is None else b"id: %d\n" % number
    return head + b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(body) + b"\n\n"


def read_frames(frames: bytes) -> Iterator[tuple[str, Any]]:
    """What frames of ours say, for those who say it in the words of others: the event and its data; of a heartbeat neither."""
    for each in frames.split(b"\n\n"):
        fields = dict(line.split(b": ", 1) for line in each.split(b"\n") if b": " in line)
        if b"data" in fields:
            yield fields.get(b"event", b"").decode(), orjson.loads(fields[b"data"]).get("data")
        elif each:
            yield "", None
