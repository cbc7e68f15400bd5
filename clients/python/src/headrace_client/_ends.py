"""How jobs end, and what their results are called. All but `made_folder` is pure."""

from pathlib import Path

from headrace_client.models import Event, Job, Output

JOB_ENDS = {"succeeded", "failed", "canceled"}
ENDING_EVENTS = {f"job.{end}" for end in JOB_ENDS}
ENDINGS = {
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "audio/mpeg": "mp3",
    "audio/x-wav": "wav",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "text/plain": "txt",
}


def is_end(event: Event) -> bool:
    """Whether an event of a job's stream is its last."""
    return event.type in ENDING_EVENTS or (event.type == "job" and event.data.get("status") in JOB_ENDS)


def wanted_output(job: Job, index: int, kind: str = "") -> Output:
    """A result of a job. Raises ValueError where there is none, or one of another kind."""
    if not job.outputs or index >= len(job.outputs):
        raise ValueError(f"job {job.id} has {len(job.outputs)} results")
    found = job.outputs[index]
    if not found.media_type.startswith(kind):
        raise ValueError(f"result {index} of job {job.id} is {found.media_type}")
    return found


def file_name(job: Job, index: int) -> str:
    """What a result is called in a folder."""
    plain = job.outputs[index].media_type.partition(";")[0].strip().lower()
    guess = plain.rpartition("/")[2]
    return f"{job.id}-{index}.{ENDINGS.get(plain) or (guess if guess.isalnum() else 'bin')}"


def made_folder(folder: str | Path) -> Path:
    """A folder, made where it is not there."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    return place
