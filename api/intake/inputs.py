"""Files in a job's input, at submit: checked, and `data:` URIs stored, so that a job's row stays small.

An address is looked at but not resolved or fetched: that takes time, and its answer may be another one later.
"""

from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from api.intake.receiving import create_upload, in_thread, same_as
from api.intake.rooms import Rooms
from api.turns.places import Places
from api.turns.walls import Wall
from common import guard
from common.errors import InvalidInput, NotFound, RefusedAddress, ResultGone, UnusableFile
from common.links import named_at
from common.settings import settings
from models.catalogue.entries import Offer
from models.db import certain, transaction
from models.files import results, uploads
from models.files.uploads import NewUpload
from storage import incoming

# Where dialects show an upload: the path of an address of ours, before its id. Their programs name it so in an input.
UPLOAD_PATHS = ("/compat/replicate/v1/files/",)


def shown_upload(address: str) -> UUID | None:
    """The upload that a dialect shows at this address; None: it is no such address."""
    for path in UPLOAD_PATHS:
        if address.startswith(settings().public_url + path):
            return uploads.id_of(address.removeprefix(settings().public_url + path))
    return None


class Inputs:
    """For one event loop."""

    def __init__(self, wall: Wall, places: Places, rooms: Rooms) -> None:
        self._wall, self._places, self._rooms = wall, places, rooms

    async def accept(self, account_id: UUID, offer: Offer, values: dict[str, Any]) -> dict[str, Any]:
        """The input with its files made sure of. Raises RefusedAddress, UnusableFile, NotFound, InvalidInput: each names the field."""
        if not offer.file_fields:
            return values
        values = dict(values)
        for field, wanted in offer.file_fields.items():
            given = values.get(field)
            if isinstance(given, str):
                values[field] = await self.accept_one(account_id, f"input.{field}", wanted, given)
        return values

    async def accept_one(self, account_id: UUID, param: str, wanted: str, given: str) -> str:
        """One file of an input, as the job keeps it. Raises as `accept`."""
        if given[:5].lower() == "data:":
            async with self._rooms.of_data(account_id, len(given), settings().decode_wait_seconds):
                found = await in_thread(
                    self._places.uploads, incoming.data_uri_bytes("data:" + given[5:]), account_id, param=param, wanted=wanted,
                    known=partial(same_as, account_id, wanted, param),
                )  # fmt: skip
            if isinstance(found, NewUpload):
                found = await self._wall.run(
                    account_id, partial(self._places.ordinary.run, partial(create_upload, found))
                )
            return uploads.id_text(found.id)
        if (upload_id := uploads.id_of(given) or shown_upload(given)) is not None:
            return await self._used(account_id, upload_id, param, wanted)
        if (file_id := named_at(given)) is not None:
            with suppress(NotFound):  # a result, or what somebody else has sent: whoever has its address may read it
                return await self._used(account_id, file_id, param, wanted)
            await self._places.ordinary.run(partial(_look_at, file_id, param, wanted))
            return given
        if not given.lower().startswith(("http://", "https://")):
            raise InvalidInput(
                f"{param} must be an http(s) address, a data: URI or the id of an uploaded file", param=param
            )
        try:
            guard.check(given, settings().allow_private_addresses)
        except guard.AddressRefused as error:
            raise RefusedAddress(f"{param}: {error.message}", param=param) from error
        return given

    async def _used(self, account_id: UUID, upload_id: UUID, param: str, wanted: str) -> str:
        """An upload of the account's own, as the job keeps it. Raises NotFound, UnusableFile."""
        use = partial(_use, account_id, upload_id, param, wanted)
        await self._wall.run(account_id, partial(self._places.ordinary.run, use), locks=False)
        return uploads.id_text(upload_id)


def _use(account_id: UUID, upload_id: UUID, param: str, wanted: str) -> None:
    try:
        with certain() as conn:
            found = uploads.use(conn, account_id, upload_id)
    except NotFound as error:
        raise NotFound(f"{param}: {error.detail}", param=param) from None
    if not incoming.fits(wanted, found.media_type):
        raise UnusableFile(
            f"{param} takes a file of kind {wanted}; {uploads.id_text(upload_id)} is {found.media_type}",
            param=param, reason="unwanted_file",
        )  # fmt: skip


def _look_at(file_id: UUID, param: str, wanted: str) -> None:
    try:
        with transaction() as conn:
            found = results.find_result(conn, file_id)
    except (NotFound, ResultGone) as error:
        raise NotFound(f"{param}: {error.detail}", param=param) from None
    if not incoming.fits(wanted, found.media_type):
        raise UnusableFile(
            f"{param} takes a file of kind {wanted}; this is {found.media_type}", param=param, reason="unwanted_file"
        )
