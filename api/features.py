"""Parts of the product that are switched off: their paths answer 404 before anybody is asked for, or anything looked up."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.edge.problems import of_domain
from api.services import services
from common.errors import FeatureOff
from common.features import Feature

# From the beginning of a path, whole segments of it, to the part that it belongs to.
PARTS: dict[str, Feature] = {
    "/v1/playground": "playground",
    "/v1/summaries": "summaries",
    "/v1/images": "gallery",
    "/v1/videos": "gallery",
    "/v1/sounds": "gallery",
    "/v1/feed": "gallery",
    "/v1/search": "gallery",
    "/v1/collections": "collections",
    "/v1/invitations": "collections",
    "/shared": "collections",
    "/v1/content": "content",
    "/v1/courses": "learning",
    "/v1/lessons": "learning",
    "/v1/enrolments": "learning",
    "/certificates": "learning",
}


def part_of(path: str) -> Feature | None:
    """The part that a path belongs to. None: to what is always there."""
    for prefix, feature in PARTS.items():
        if path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/"):
            return feature
    return None


class Switch:
    """Answers for the parts that are off. Pure ASGI; which are, every process keeps in memory with the catalogue."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        feature = part_of(scope["path"]) if scope["type"] == "http" else None
        if feature is not None and not services(scope["app"]).catalogue.has(feature):
            refusal = FeatureOff(f"this deployment does not have {feature}", feature=feature)
            await of_domain(Request(scope), refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)
