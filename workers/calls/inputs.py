"""The files that a job's input names, gathered before its provider is asked.

An upload is read where it lies, and so is what has a permanent address of ours. Any other address is fetched once, through the guard, and lies under the job's own key from
then on: a later step, or another worker after a crash, gives the provider the same bytes.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from common.errors import NotFound, ResultGone
from common.guard import AddressRefused, Resolver, open_url, system_resolver
from common.links import named_at
from common.scratch import scratch_file
from common.settings import settings
from models.db import transaction
from models.files import results, uploads
from models.jobs.steps import Claim
from storage import incoming, keys
from storage.incoming import RefusedFile
from storage.media import SandboxAway
from storage.s3 import StorageError, storage
from workers.providers.base import InputFile


class UnusableInput(Exception):
    """A file of the input cannot be had or used. `field` is the input's field.

    Codes: those of `AddressRefused` and `RefusedFile`, file_gone, unwanted_file, storage_failed. Nothing was asked of a
    provider yet, so nothing was charged.
    """

    def __init__(self, code: str, message: str, *, field: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.retryable = retryable


def gather(
    claim: Claim, *, resolve: Resolver = system_resolver, lost: Callable[[], bool] = lambda: False
) -> dict[str, InputFile]:
    """The input's files by field. `lost` is asked between chunks: once true, nobody wants them any more.

    Raises UnusableInput. May take INPUT_SECONDS for each address: call it while the lease is kept, in no transaction.
    """
    files = {}
    for field, wanted in claim.entry.file_fields().items():
        given = claim.input.get(field)
        if isinstance(given, str):
            files[field] = _one(claim, field, wanted, given, resolve, lost)
    return files


def plain(given: Mapping[str, Any], files: Mapping[str, InputFile]) -> dict[str, Any]:
    """The input without the fields whose files are given besides."""
    return {name: value for name, value in given.items() if name not in files}


def _one(claim: Claim, field: str, wanted: str, given: str, resolve: Resolver, lost: Callable[[], bool]) -> InputFile:
    try:
        file = _uploaded(claim, field, given) or _of_ours(field, given) or _fetched(claim, field, given, resolve, lost)
    except AddressRefused as error:
        raise UnusableInput(
            error.code, f"input.{field}: {error.message}", field=field, retryable=error.retryable
        ) from error
    except RefusedFile as error:
        raise UnusableInput(error.code, f"input.{field}: {error.message}", field=field) from error
    except StorageError as error:
        if error.missing:
            raise _gone(field) from error
        raise UnusableInput(
            "storage_failed", f"input.{field} could not be stored or read", field=field, retryable=error.retryable
        ) from error
    except SandboxAway as error:  # as our storage's faults: the file may be fine, and nobody was asked yet
        raise UnusableInput(
            "storage_failed", f"input.{field} cannot be read just now", field=field, retryable=True
        ) from error
    if not incoming.fits(wanted, file.media_type):
        message = f"input.{field} takes a file of kind {wanted}; this is {file.media_type}"
        raise UnusableInput("unwanted_file", message, field=field)
    return file


def _uploaded(claim: Claim, field: str, given: str) -> InputFile | None:
    upload_id = uploads.id_of(given)
    if upload_id is None:
        return None
    with transaction() as conn:
        found = uploads.find_for_job(conn, claim.account_id, upload_id)
    if found is None:
        raise _gone(field)
    storage().head(found.key)  # now, when the job can still end with a clear reason
    return InputFile(found.media_type, found.size_bytes, partial(_stored, found.key))


def _of_ours(field: str, given: str) -> InputFile | None:
    """A result at its permanent address: whoever has that may read it, so nobody has to ask our own front door for it."""
    file_id = named_at(given)
    if file_id is None:
        return None
    try:
        with transaction() as conn:
            found = results.find_result(conn, file_id)
    except (NotFound, ResultGone) as error:
        raise _gone(field) from error
    storage().head(found.key)
    return InputFile(found.media_type, found.size_bytes, partial(_stored, found.key))


def _fetched(claim: Claim, field: str, url: str, resolve: Resolver, lost: Callable[[], bool]) -> InputFile:
    key = keys.input_key(claim.account_id, claim.job_id, field)
    if (file := _fetched_before(key)) is not None:
        return file
    limit = settings().max_upload_bytes
    seconds = max(1.0, min(settings().input_seconds, claim.seconds_left))
    with scratch_file() as temporary:
        with open_url(
            url, max_bytes=limit, seconds=seconds, allow=settings().allow_private_addresses, resolve=resolve
        ) as answer:
            incoming.spool(_while_wanted(answer.content(), field, lost), temporary, limit)
        path = Path(temporary.name)
        media = incoming.examine(path, claim.account_id)
        storage().put_file(key, path, media.media_type)
        return InputFile(media.media_type, path.stat().st_size, partial(_stored, key))


def _fetched_before(key: str) -> InputFile | None:
    try:
        head = storage().head(key)
    except StorageError as error:
        if error.missing:
            return None
        raise
    return InputFile(head.media_type or "application/octet-stream", head.size, partial(_stored, key))


def _while_wanted(chunks: Iterator[bytes], field: str, lost: Callable[[], bool]) -> Iterator[bytes]:
    for chunk in chunks:
        if lost():
            raise UnusableInput("canceled", "nobody wants this input any more", field=field, retryable=True)
        yield chunk


def _stored(key: str) -> Iterator[bytes]:
    with storage().get_range(key).chunks as chunks:
        yield from chunks


def _gone(field: str) -> UnusableInput:
    return UnusableInput("file_gone", f"input.{field}: the file is no longer kept", field=field)
