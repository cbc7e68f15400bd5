"""What a text job has brought, read from storage: for those who are answered with the text itself."""

from functools import partial
from uuid import UUID

from starlette.requests import Request

from api.services import services
from common.errors import DomainError, Unavailable
from models.db import transaction
from models.files import results
from models.jobs.outward import text_stored
from models.jobs.reads import JobRow
from storage.s3 import StorageError
from storage.stored_texts import read_text

MOST_BYTES = 4 * 1024 * 1024  # of a text that is answered whole


async def text_of(request: Request, row: JobRow) -> str | None:
    """The text of a job that has succeeded with one. None: it has none, or it is not kept any more. Raises Unavailable."""
    stored = text_stored(row)
    return None if stored is None else await services(request.app).places.files.run(partial(_read, stored))


def _read(asset_id: UUID) -> str | None:
    try:
        with transaction() as conn:
            key = results.find_result(conn, asset_id).key
    except DomainError as error:
        if error.retryable:
            raise
        return None
    try:
        found = read_text(key, MOST_BYTES)
    except StorageError as error:
        raise Unavailable("the text cannot be read just now; ask again soon") from error
    return None if found is None else found.text
