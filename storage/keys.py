"""Names of objects. Pure."""

import re
from typing import NamedTuple
from uuid import UUID

RESULTS = "results/"
_NUMBER = "0|[1-9][0-9]"  # no leading zeros: one object, one name
_KEY = re.compile(
    rf"{RESULTS}(?P<account>[0-9a-f-]{{36}})/(?P<job>[0-9a-f-]{{36}})/"
    rf"(?P<token>{_NUMBER}{{0,17}})-(?P<index>{_NUMBER}{{0,4}})(?P<thumbnail>\.thumbnail)?\.(?P<extension>[a-z0-9]{{1,8}})"
)


class ResultKey(NamedTuple):
    """The parts of a result's key. `token` is the fencing token of the claim that stored it, `number` its index."""

    account_id: UUID
    job_id: UUID
    token: int
    number: int
    thumbnail: bool
    extension: str


def result_key(account_id: UUID, job_id: UUID, token: int, index: int, extension: str) -> str:
    """Where a result lies. The token keeps a worker that lost its claim from overwriting its successor's object."""
    return _ours(f"{RESULTS}{account_id}/{job_id}/{token}-{index}.{extension}")


def thumbnail_key(account_id: UUID, job_id: UUID, token: int, index: int, extension: str) -> str:
    """Where a result's small picture lies."""
    return _ours(f"{RESULTS}{account_id}/{job_id}/{token}-{index}.thumbnail.{extension}")


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
        account_id, job_id, int(match["token"]), int(match["index"]), bool(match["thumbnail"]), match["extension"]
    )


def _ours(key: str) -> str:
    """Refuse what `parse` would not know again: the reaper would never find such an object."""
    if parse(key) is None:
        raise ValueError(f"not a result's key: {key!r}")
    return key
