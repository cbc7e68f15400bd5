"""Names of objects. Pure."""

import re
from typing import NamedTuple
from uuid import UUID

RESULTS = "results/"
UPLOADS = "uploads/"
INPUTS = "inputs/"
OURS = (RESULTS, UPLOADS, INPUTS)
_NUMBER = "0|[1-9][0-9]"  # no leading zeros: one object, one name
_KEY = re.compile(
    rf"{RESULTS}(?P<account>[0-9a-f-]{{36}})/(?P<job>[0-9a-f-]{{36}})/"
    rf"(?P<attempt>{_NUMBER}{{0,17}})-(?P<index>{_NUMBER}{{0,4}})(?:-(?P<digest>[0-9a-f]{{32}}))?"
    r"(?P<thumbnail>\.thumbnail)?\.(?P<extension>[a-z0-9]{1,8})"
)

_UPLOAD = re.compile(rf"{UPLOADS}(?P<account>[0-9a-f-]{{36}})/(?P<id>[0-9a-f-]{{36}})\.[a-z0-9]{{1,8}}")
_INPUT = re.compile(rf"{INPUTS}(?P<account>[0-9a-f-]{{36}})/(?P<id>[0-9a-f-]{{36}})/[A-Za-z0-9_][A-Za-z0-9_-]{{0,99}}")


class ResultKey(NamedTuple):
    """The parts of a result's key: `number` is the output's, `digest` is of the result's content.

    Objects of before version 0.2 have no digest, and a claim's token in the attempt's place.
    """

    account_id: UUID
    job_id: UUID
    attempt: int
    number: int
    digest: str | None
    thumbnail: bool
    extension: str


def result_key(account_id: UUID, job_id: UUID, attempt: int, index: int, sha256: bytes, extension: str) -> str:
    """Where a result lies: whoever stores the same content for the same attempt stores the same object, so that a worker
    that has lost its claim and the one that has it now cannot hurt each other's.
    """
    return _ours(f"{RESULTS}{account_id}/{job_id}/{attempt}-{index}-{sha256.hex()[:32]}.{extension}")


def thumbnail_key(account_id: UUID, job_id: UUID, attempt: int, index: int, sha256: bytes, extension: str) -> str:
    """Where a result's small picture lies. `sha256` is the result's, not the picture's."""
    return _ours(f"{RESULTS}{account_id}/{job_id}/{attempt}-{index}-{sha256.hex()[:32]}.thumbnail.{extension}")


def upload_key(account_id: UUID, upload_id: UUID, extension: str) -> str:
    """Where a client's upload lies."""
    key = f"{UPLOADS}{account_id}/{upload_id}.{extension}"
    if parse_upload(key) is None:
        raise ValueError(f"not an upload's key: {key!r}")
    return key


def input_key(account_id: UUID, job_id: UUID, field: str) -> str:
    """Where an input lies that was fetched for a job: the same for each of its steps, so that it is fetched once."""
    key = f"{INPUTS}{account_id}/{job_id}/{field}"
    if parse_input(key) is None:
        raise ValueError(f"not an input's key: {key!r}")
    return key


def parse_upload(key: str) -> UUID | None:
    """The upload that a key names; None for an object that is no upload."""
    return _second_id(_UPLOAD, key)


def parse_input(key: str) -> UUID | None:
    """The job that an input was fetched for; None for an object that is no input."""
    return _second_id(_INPUT, key)


def _second_id(shape: re.Pattern[str], key: str) -> UUID | None:
    match = shape.fullmatch(key)
    if match is None:
        return None
    try:
        account_id, second = UUID(match["account"]), UUID(match["id"])
    except ValueError:
        return None
    return second if (match["account"], match["id"]) == (str(account_id), str(second)) else None


def parse(key: str) -> ResultKey | None:
    """The parts of a result's key; None for an object that is not ours."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    try:
        account_id, job_id = UUID(match["account"]), UUID(match["job"])
    except ValueError:
        return None
    if (match["account"], match["job"]) != (str(account_id), str(job_id)):
        return None  # hyphens elsewhere, which UUID() forgives
    return ResultKey(
        account_id, job_id, int(match["attempt"]), int(match["index"]), match["digest"], bool(match["thumbnail"]),
        match["extension"],
    )  # fmt: skip


def _ours(key: str) -> str:
    """Refuse what `parse` would not know again: the reaper would never find such an object."""
    if parse(key) is None:
        raise ValueError(f"not a result's key: {key!r}")
    return key
