"""Which routes a browser token opens. Everything else is closed to it, whatever its maker may: a route that is not named here does
not know of tokens, and would not narrow what it answers.
"""

from typing import NamedTuple

from common.errors import Forbidden
from models.access.scopes import Reach, Right


class OpenRoute(NamedTuple):
    """Which right opens a route, and to which tokens: to all, to those that are for no single job, or for the account alone."""

    right: Right
    to: str = "all"


OPENED: dict[tuple[str, str], OpenRoute] = {
    ("GET", "/v1/jobs"): OpenRoute("read", "no job"),
    ("GET", "/v1/jobs/{job_id}"): OpenRoute("read"),
    ("GET", "/v1/credits"): OpenRoute("read", "account"),
    ("GET", "/v1/events"): OpenRoute("stream"),
    ("GET", "/v1/jobs/{job_id}/events"): OpenRoute("stream"),
    ("POST", "/v1/jobs"): OpenRoute("generate"),
    ("POST", "/v1/jobs/{job_id}/cancel"): OpenRoute("generate"),
    ("POST", "/v1/quotes"): OpenRoute("generate"),
    ("POST", "/v1/files"): OpenRoute("generate"),
}


def check_reach(reach: Reach, method: str, path: str) -> None:
    """Raises Forbidden, which names what the token may do, for a route (its path with names in braces) that it does not open."""
    opened = OPENED.get((method, path))
    needed = None if opened is None else opened.right
    if opened is not None and needed in reach.may and _is_for(reach, opened.to):
        return
    raise Forbidden(f"{reach.in_words()}; not {method} {path}", needed=needed, may=sorted(reach.may))


def _is_for(reach: Reach, to: str) -> bool:
    if to == "account":
        return not reach.is_narrow
    return to == "all" or reach.job_id is None
