"""The duty that keeps texts which nobody has looked at since their jobs ended: their results will expire."""

from models.db import single, transaction
from models.playground import kept
from scheduler.turns import Aside, Did
from storage.s3 import StorageError
from storage.stored_texts import read_text

_aside = Aside()


def keep_texts(batch: int) -> Did:
    """Fetch the texts of sessions and summaries whose jobs have ended, and keep them. What S3 does not give is tried again."""
    with transaction() as conn:
        due = kept.due(conn, batch, without=_aside.ids())
    done, errors = 0, list[str]()
    for each in due:
        try:
            stored = read_text(each.key, kept.MAX_KEPT_BYTES) if each.key is not None else None
        except StorageError as error:
            _aside.rest(each.job_id)
            errors.append(str(error))
            continue
        with single() as conn:
            kept.keep(conn, each.job_id, *(stored or (None,)))
        _aside.well(each.job_id)
        done += 1
    return Did(done, more=len(due) >= batch, errors=errors)
