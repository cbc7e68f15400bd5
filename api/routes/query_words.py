"""Which parameters a route's address may have: one that it does not know is refused, for a filter that is misspelled and passed
over would answer with everything, or delete it.
"""

from collections.abc import Collection

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request

from common.errors import InvalidParameter
from common.nearest import or_nearest

CHECKED = frozenset({"GET", "HEAD", "DELETE"})  # what a body says is checked by its shape
PREFIX = "/v1/"  # pages for people are opened by addresses to which others have added their own parameters
MAX_NAME_SHOWN = 40


def words_of(route: APIRoute) -> list[str] | None:
    """The parameters of a route's address; None: whatever it has is passed over."""
    if not ((route.methods or set()) <= CHECKED and route.path_format.startswith(PREFIX)):
        return None
    return sorted(_words(route.dependant))


def _words(dependant: Dependant) -> set[str]:
    """What an endpoint reads of the address, and what it depends on."""
    return {each.alias for each in dependant.query_params}.union(*map(_words, dependant.dependencies))


def refuse_unknown(request: Request, words: Collection[str] | None) -> None:
    """Raises InvalidParameter for the first parameter of the address that is none of the route's words."""
    if words is None or not request.scope["query_string"]:
        return
    for name in request.query_params:
        if name not in words:
            shown = name if len(name) <= MAX_NAME_SHOWN else f"{name[:MAX_NAME_SHOWN]}… ({len(name)} characters)"
            raise InvalidParameter(
                f"{shown!r} is no parameter of this address: {or_nearest(name, words)}", param=name[:MAX_NAME_SHOWN]
            )
