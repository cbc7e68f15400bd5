"""What a job has brought, as bytes: for those who are answered with the thing itself."""

from functools import partial
from typing import NamedTuple
from uuid import UUID

from starlette.requests import Request

from api.services import services
from common.errors import DomainError, ResultGone, Unavailable
from common.links import url_of
from models.db import transaction
from models.files import results
from models.files.states import AssetStatus
from models.jobs.reads import JobRow
from storage.s3 import StorageError, storage

MOST_BYTES = 64 * 1024 * 1024  # of all results of one answer
AWAY_SECONDS = 5


class StoredBytes(NamedTuple):
    """A stored result, whole."""

    media_type: str
    data: bytes
    width: int | None
    height: int | None


class TooLargeToAnswer(DomainError):
    """The results are larger than an answer may be."""

    code = "result_too_large"


async def read_results(request: Request, row: JobRow) -> list[StoredBytes]:
    """All results of a job that has succeeded. Raises ResultGone, TooLargeToAnswer, Unavailable."""
    assets = [each for each in row.assets if each["status"] == AssetStatus.STORED]
    if not assets:
        raise ResultGone(f"the results of the job {row.id} are not kept any more", reason="expired")
    if sum(each["size_bytes"] for each in assets) > MOST_BYTES:
        addresses = " ".join(url_of(UUID(each["id"])) for each in assets)
        raise TooLargeToAnswer(f"the results are larger than an answer may be; fetch them: {addresses}")
    place = services(request.app).places.files
    return [
        StoredBytes(
            each["media_type"], await place.run(partial(_read, UUID(each["id"]))), each["width"], each["height"]
        )
        for each in assets
    ]


def _read(asset_id: UUID) -> bytes:
    with transaction() as conn:
        key = results.find_result(conn, asset_id).key
    try:
        with storage().get_range(key, 0, MOST_BYTES - 1).chunks as chunks:
            return b"".join(chunks)
    except StorageError as error:
        if error.missing:
            raise ResultGone(
                "this file is lost: it should still be kept, and is not in storage", reason="lost"
            ) from None
        raise Unavailable("the storage of files is away; try again soon", retry_after=AWAY_SECONDS) from None
