"""How a job's own address is told of it: in the words of the dialect in which the job was ordered. A dialect has one entry in
`WORDINGS`: the body that it posts, made of the job as it is when it is sent, and headers of its own where it has some.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from common.dialects import fal, fal_signing, replicate
from common.dialects.told import ToldJob
from common.errors import DomainError
from models.db import transaction
from models.events.sending import Parcel
from models.files import results
from models.jobs import reads
from models.jobs.outward import text_stored, told_job
from models.jobs.reads import JobRow
from storage.stored_texts import read_text
from workers.deliver.post import Letter, LetterWriter, own_letter

MOST_TEXT_BYTES = 256 * 1024  # of a text that is posted


def _no_headers(_parcel: Parcel, _body: bytes, _timestamp: int) -> Mapping[str, str]:
    return {}


class DialectWording(NamedTuple):
    """A dialect's deliveries. `body`: of the job and the event, one of our own; a job's outputs are those up to the event's."""

    body: Callable[[ToldJob, str], Any]
    headers: Callable[[Parcel, bytes, int], Mapping[str, str]] = (
        _no_headers  # of the delivery, its body, the attempt's time
    )


def _signed_as_fal(parcel: Parcel, body: bytes, timestamp: int) -> Mapping[str, str]:
    return fal_signing.signed_headers(str(parcel.job_id), str(parcel.account_id), timestamp, body)


WORDINGS = {
    "replicate": DialectWording(replicate.prediction_at),
    "fal": DialectWording(fal.webhook_body, _signed_as_fal),
}


def writer_of(parcel: Parcel) -> LetterWriter:
    """Who writes a delivery."""
    wording = None if parcel.dialect is None else WORDINGS.get(parcel.dialect)
    return own_letter if wording is None or parcel.job_id is None else partial(_write, wording, parcel.job_id)


def _write(wording: DialectWording, job_id: UUID, parcel: Parcel, timestamp: int) -> Letter:
    with transaction() as conn:
        row = reads.jobs_by_id(conn, [job_id])[job_id]
    said = wording.body(told_job(_up_to(row, parcel), _text_of(row)), parcel.event_type)
    body = orjson.dumps(said)
    return Letter(body, wording.headers(parcel, body, timestamp))


def _up_to(row: JobRow, parcel: Parcel) -> JobRow:
    """Without the outputs that came after the one which is told of."""
    if parcel.event_type != "job.output":
        return row
    output_id = parcel.data.get("output", {}).get("id")
    place = next((at for at, asset in enumerate(row.assets) if asset["id"] == output_id), len(row.assets))
    return row._replace(assets=row.assets[: place + 1])


def _text_of(row: JobRow) -> str | None:
    stored = text_stored(row)
    if stored is None:
        return None
    try:
        with transaction() as conn:
            key = results.find_result(conn, stored).key
    except DomainError as error:
        if error.retryable:
            raise
        return None
    found = read_text(key, MOST_TEXT_BYTES)
    return None if found is None else found.text
