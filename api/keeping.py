"""Texts are kept when somebody first looks at them; where nobody does, the scheduler's duty does the same."""

import logging
from collections.abc import Collection
from uuid import UUID

from common.rest import Rest
from models.db import single, transaction
from models.playground import kept
from storage.s3 import StorageError
from storage.stored_texts import read_text

log = logging.getLogger(__name__)

REST_SECONDS = 5.0  # after S3 has failed one who looked
_rest = Rest(REST_SECONDS)


def keep_now(job_ids: Collection[UUID]) -> None:
    """Fetch what these jobs have brought and keep it. Where S3 is away it is kept later: what is shown has no text then, and who
    looks in the next seconds does not wait for S3 as well.
    """
    if _rest.is_on:
        return
    with transaction() as conn:
        found = kept.due(conn, len(job_ids), among=job_ids)
    for each in found:
        try:
            stored = read_text(each.key, kept.MAX_KEPT_BYTES) if each.key is not None else None
        except StorageError as error:
            log.warning("the text of job %s is kept later: %s", each.job_id, error)
            if error.retryable:  # it is S3 that is away; another's object, which it refuses, is no reason not to look
                _rest.start()
                return
            continue
        with single() as conn:
            kept.keep(conn, each.job_id, *(stored or (None,)))
