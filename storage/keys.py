"""Names of objects. Pure."""

import re
from typing import NamedTuple
from uuid import UUID

RESULTS = "results/"
_KEY = re.compile(
    r"results/(?P<account>[0-9a-f-]{36})/(?P<job>[0-9a-f-]{36})/(?P<token>\d{1,18})-(?P<index>\d{1,5})"
    r"(?P<thumbnail>\.thumbnail)?\.(?P<extension>[a-z0-9]{1,8})"
)


class ResultKey(NamedTuple):
    """The parts of a result's key. `token` is the fencing token of the claim that stored it."""

    account_id: UUID
    job_id: UUID
    token: int
    number: int
    thumbnail: bool
    extension: str


def result_key(account_id: UUID, job_id: UUID, token: int, index: int, extension: str) -> str:
    """Where a result lies. The token keeps a worker that lost its claim from overwriting its successor's object."""
    return f"{RESULTS}{account_id}/{job_id}/{token}-{index}.{extension}"


def thumbnail_key(account_id: UUID, job_id: UUID, token: int, index: int, extension: str) -> str:
    """Where a result's small picture lies."""
    return f"{RESULTS}{account_id}/{job_id}/{token}-{index}.thumbnail.{extension}"


def parse(key: str) -> ResultKey | None:
    """The parts of a result's key; None for an object that is not ours."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    try:
        account_id, job_id = UUID(match["account"]), UUID(match["job"])
    except ValueError:
        return None
    return ResultKey(
        account_id, job_id, int(match["token"]), int(match["index"]), bool(match["thumbnail"]), match["extension"]
    )
