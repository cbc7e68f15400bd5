"""Forms of this dialect: fields as texts, some of them within others (`svg[model]`), and files, which become uploads of the account."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import IO, Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from api.edge.texts import check_form
from api.intake.receiving import create_upload, in_thread, room_on_disk, same_as
from api.services import services
from common.errors import InvalidInput
from common.settings import settings
from models.access.scopes import Caller
from models.files.uploads import NewUpload, UploadRow

MOST_FILES = 16
MOST_FIELDS = 100
READ_BYTES = 256 * 1024
_NESTED = re.compile(r"([^\[\]]{1,100})\[([^\[\]]{0,100})\]")


def is_form(request: Request) -> bool:
    """Whether a body is a form."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


@asynccontextmanager
async def form_of(request: Request, who: Caller) -> AsyncIterator[FormData]:
    """A form whose files are on disk, for as long as it is read. Raises InvalidInput, and as the rooms of uploads do."""
    async with services(request.app).rooms.of_form(request, who.account_id):
        with room_on_disk():
            async with request.form(
                max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=settings().max_body_bytes
            ) as form:
                check_form(form)
                yield form


def fields_of(form: FormData) -> dict[str, Any]:
    """What is no file: texts by their names; `a[b]` is a field of `a`, and `a[]` one of several."""
    found: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            continue
        nested = _NESTED.fullmatch(name)
        if nested is None:
            found[name] = value
        elif nested[2]:
            inner = found.setdefault(nested[1], {})
            if isinstance(inner, dict):
                inner[nested[2]] = value
        else:
            several = found.setdefault(nested[1], [])
            if isinstance(several, list):
                several.append(value)
    return found


def files_of(form: FormData, name: str) -> list[UploadFile]:
    """The files of a field, which may be called `name` or `name[]`."""
    return [
        each
        for given, each in form.multi_items()
        if isinstance(each, UploadFile) and given in (name, f"{name}[]", f"{name}[0]")
    ]


async def keep_upload(request: Request, who: Caller, part: UploadFile, param: str, wanted: str = "image") -> UploadRow:
    """A file of a form as an upload: the one that these bytes are already, or a new one. Raises UnusableFile."""
    here = services(request.app)
    found = await in_thread(
        here.places.uploads, parts_of(part.file), who.account_id, param=param, wanted=wanted,
        known=partial(same_as, who.account_id, wanted, param),
    )  # fmt: skip
    if not isinstance(found, NewUpload):
        return found
    return await here.wall.run(who.account_id, partial(here.places.ordinary.run, partial(create_upload, found)))


def parts_of(file: IO[bytes]) -> Iterator[bytes]:
    """A file's bytes, some at a time."""
    while part := file.read(READ_BYTES):
        yield part


def refuse_files(form: FormData, *known: str) -> None:
    """Raises InvalidInput for a file in a field that takes none."""
    names = {name for each in known for name in (each, f"{each}[]", f"{each}[0]")}
    odd = next((name for name, each in form.multi_items() if isinstance(each, UploadFile) and name not in names), None)
    if odd is not None:
        raise InvalidInput(f"{odd[:100]} takes no file here", param=odd[:100])
