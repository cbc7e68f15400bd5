"""What a request of fal's libraries asks for: an app by its path, arguments, and wishes in headers and query."""

import math
from typing import Any, NamedTuple

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request

from api.catalogue import Catalogue
from common.errors import InvalidParameter, InvalidRequest, UnknownModel
from models.catalogue.entries import Offer

REQUESTS = "requests"
STREAM = "stream"  # the sub-path of whoever wants events
MOST_PARTS = 12  # of an app's path
LOW = -10  # the priority of what may wait, among the account's own jobs
LONGEST_START = 86_400.0  # seconds
LIFECYCLES = ("x-fal-object-lifecycle-preference", "x-fal-object-lifecycle")


class AskedApp(NamedTuple):
    """A model as a program calls it. `path`: what follows its name, which says how it is asked."""

    offer: Offer
    name: str
    path: str


class AskedOrder(NamedTuple):
    """Arguments, and what is wished besides."""

    arguments: dict[str, Any]
    webhook: str | None
    priority: int
    start_seconds: float | None

    def said(self) -> dict[str, Any]:
        """What makes two requests of one path the same."""
        return {"arguments": self.arguments, "webhook": self.webhook}


def find_app(catalogue: Catalogue, path: str) -> AskedApp:
    """The model with the longest name that a path begins with. Raises UnknownModel."""
    parts = [each for each in path.split("/") if each]
    for count in range(min(len(parts), MOST_PARTS), 0, -1):
        name, rest = "/".join(parts[:count]), parts[count:]
        try:
            offer = catalogue.called(name)
            if rest[:1] == [REQUESTS]:  # an address of a request, asked with a wrong method: nothing is ordered there
                raise HTTPException(405, "a request is looked at with GET, and called off with PUT")
            return AskedApp(offer, name, "/".join(rest))
        except UnknownModel:
            continue
    shown = "/".join(parts)[:200]
    raise UnknownModel(f"there is no app {shown!r}; see GET /v1/models", param="app")


async def read_order(request: Request, *, queued: bool) -> AskedOrder:
    """An order as it came. Raises InvalidRequest, InvalidParameter."""
    arguments = await _arguments(request)
    refuse_lifecycles(request)
    webhook = request.query_params.get("fal_webhook")
    if webhook is not None and not queued:
        raise InvalidParameter(
            "fal_webhook is for requests of the queue; this one is answered here", param="fal_webhook"
        )
    return AskedOrder(arguments, webhook or None, _priority(request), start_seconds(request))


async def _arguments(request: Request) -> dict[str, Any]:
    raw = await request.body()
    if not raw.strip():
        return {}
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}", param="body") from None
    if not isinstance(found, dict):
        raise InvalidRequest("the body must be a JSON object, the arguments of the app", param="body")
    return found


def _priority(request: Request) -> int:
    asked = request.headers.get("x-fal-queue-priority", "normal").strip().lower()
    if asked not in ("normal", "low"):
        raise InvalidParameter("x-fal-queue-priority is normal or low", param="x-fal-queue-priority")
    return LOW if asked == "low" else 0


def start_seconds(request: Request) -> float | None:
    """Within how many seconds a job must have begun. None: it may wait. Raises InvalidParameter."""
    asked = request.headers.get("x-fal-request-timeout")
    if asked is None:
        return None
    try:
        found = float(asked)
    except ValueError:
        found = math.nan
    if not 0 < found <= LONGEST_START:  # neither does a NaN
        raise InvalidParameter(
            f"x-fal-request-timeout is a number of seconds, at most {LONGEST_START:g}", param="x-fal-request-timeout"
        )
    return found


def refuse_lifecycles(request: Request) -> None:
    """What a file's or a result's life is to be, is not chosen here. Raises InvalidParameter."""
    for name in LIFECYCLES:
        if name in request.headers:
            raise InvalidParameter(
                f"{name}: how long files are kept, and who may read them, is not chosen with an order here", param=name
            )


def wants_logs(request: Request) -> bool:
    """Whether a status is to have its log: one of the libraries writes true and false, the other 1 and 0. Raises InvalidParameter."""
    asked = request.query_params.get("logs", "0").lower()
    if asked not in ("1", "0", "true", "false"):
        raise InvalidParameter("logs is true, false, 1 or 0", param="logs")
    return asked in ("1", "true")
