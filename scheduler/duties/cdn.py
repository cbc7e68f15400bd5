"""The duty that tells the CDN of files that are gone: a POST to CDN_PURGE_URL with their addresses."""

import logging
from collections.abc import Sequence

import orjson

from common.faultpoints import reached
from common.guard import AddressRefused, open_url
from common.links import url_of
from common.settings import settings
from models.db import transaction
from models.files import cdn_purges
from models.files.cdn_purges import Untold
from scheduler.turns import Did

log = logging.getLogger(__name__)

FILES_AT_ONCE = 15  # each has two addresses, and Cloudflare takes thirty at once
SECONDS = 15.0
ANSWER_BYTES = 64 * 1024


def tell_cdn(batch: int) -> Did:
    """Tell the CDN of files that are gone, some at once. What it does not take is told later; after a failure the rest waits for
    another turn, since it would fail as well.
    """
    with transaction() as conn:
        due = cdn_purges.due(conn, batch)
    done, errors = 0, list[str]()
    for start in range(0, len(due), FILES_AT_ONCE):
        part = due[start : start + FILES_AT_ONCE]
        problem = _told(part)
        reached("tell_cdn:told")
        ids = [each.file_id for each in part]
        with transaction() as conn:
            done += cdn_purges.put_off(conn, ids) if problem else cdn_purges.confirm(conn, ids)
        if problem:
            errors = [f"the CDN was not told of {len(part)} files: {problem}"[:200]]
            log.warning("%s; try %d", errors[0], part[0].tries + 1)
            break
    return Did(done, more=len(due) >= batch and not errors, errors=errors)


def _told(files: Sequence[Untold]) -> str | None:
    """Why the CDN does not know of these; None: it does, or none wants to be told any more."""
    url = settings().cdn_purge_url
    if url is None:
        return None
    addresses = [url_of(each.file_id, thumbnail=small) for each in files for small in (False, True)]
    try:
        with open_url(
            url, method="POST", headers={"content-type": "application/json", **settings().purge_headers()},
            body=orjson.dumps({"files": addresses}), max_bytes=ANSWER_BYTES, seconds=SECONDS, max_redirects=0,
            allow=settings().allow_private_addresses,
        ) as answer:  # fmt: skip
            answer.read()
    except AddressRefused as error:
        return str(error)
    return None
