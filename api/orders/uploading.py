"""Files on their way in, the same for every way to send them: a form that goes to disk as it comes, a file that becomes an upload,
once for one name of the client's own.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import IO, Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from api.edge.texts import check_form
from api.intake.receiving import in_thread, room_on_disk, without_stray
from api.routes.once import asked, key_of, made_answer, once
from api.services import services
from models.access.scopes import Caller
from models.db import transaction
from models.files import uploads
from models.files.uploads import NewUpload, UploadRow
from models.jobs import answered

FIELD_BYTES = 4096  # of a form's other fields
READ_BYTES = 256 * 1024


@asynccontextmanager
async def opened_form(
    request: Request, who: Caller, *, files: int = 1, field_bytes: int = FIELD_BYTES
) -> AsyncIterator[FormData]:
    """A form with files, for the time of a block, read once there is room for it. Raises the DomainError that refuses it."""
    async with services(request.app).rooms.of_form(request, who.account_id):
        with room_on_disk():  # more than a mebibyte of a form goes to disk as well, in files without a name
            async with request.form(max_files=files, max_fields=8, max_part_size=field_bytes) as form:
                check_form(form)
                yield form


async def receive_upload(
    request: Request,
    who: Caller,
    chunks: Iterable[bytes],
    *,
    param: str,
    view: Callable[[UploadRow], dict[str, Any]],
    location: str,
    said: dict[str, Any] | None = None,
) -> Response:
    """The answer to a file that was sent: what `view` shows of its upload. `said`: what its sender says of it. Raises the
    DomainError that refuses it.
    """
    key = key_of(request)

    def asked_for(digest: bytes) -> bytes:
        return asked(request, {"sha256": digest.hex(), **({} if said is None else {"said": said})})

    def earlier(digest: bytes) -> dict[str, Any] | None:
        """The answer to this very request before: its bytes are not stored again, nor is room looked for."""
        if key is None:
            return None
        with transaction() as conn:
            return answered.find(conn, who.account_id, key, asked_for(digest))

    here = services(request.app)
    new = await in_thread(here.places.uploads, chunks, who.account_id, param=param, known=earlier)
    if not isinstance(new, NewUpload):
        return made_answer(new, status=201, location=location, replayed=True)

    def make() -> Response:
        with without_stray(new):
            return once(
                who, key, asked_for(new.sha256), lambda conn: view(uploads.create(conn, new._replace(said=said))),
                status=201, location=location,
            )  # fmt: skip

    return await here.wall.run(who.account_id, partial(here.places.ordinary.run, make))


def parts_of(file: IO[bytes]) -> Iterator[bytes]:
    """A file's bytes, a piece at a time."""
    while part := file.read(READ_BYTES):
        yield part
