"""`/mcp`: who may come in. The server behind it is loaded with the first agent: it takes a second that nobody else should wait."""

from importlib import import_module

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.dialects.routes import DialectRoute
from api.routes.callers import permitted
from api.routes.fast_routes import fast
from api.routes.prefix_router import PrefixRouter

router = PrefixRouter(route_class=DialectRoute)


class _AgentAnswer(Response):
    """What the server of agents has to say."""

    def __init__(self) -> None:
        self.background = None
        self.status_code = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        server = await to_thread.run_sync(import_module, "api.dialects.mcp.server")
        await server.serve_agent(scope, receive, send)


@router.post("/mcp")
@fast(need="read")
async def serve_agents(request: Request) -> Response:
    """Tools for agents, in the Model Context Protocol. What a tool needs more than `read`, it asks for itself. There is nothing
    that an agent could listen for (GET) or end (DELETE): nothing is kept between two requests.
    """
    await permitted(request, "read")
    return _AgentAnswer()
