"""The server of agents over streamable HTTP, at `/mcp`: each request by itself, nothing is kept between them."""

from importlib.metadata import version
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    TextContent,
)
from starlette.types import Receive, Scope, Send

from api.dialects.mcp import resources, tools
from api.dialects.mcp.tools import Context
from api.dialects.mcp.words import INSTRUCTIONS, told_result
from common.errors import DomainError


async def _tools(_ctx: Context, _params: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=tools.list_tools())


async def _use(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    try:
        found = await tools.use_tool(ctx, params.name, params.arguments or {})
    except DomainError as error:
        values: dict[str, Any] = {
            "code": error.code, "detail": error.detail, "param": error.param, "retryable": error.retryable, **error.extra,
        }  # fmt: skip
        return CallToolResult(
            content=[TextContent(type="text", text=told_result(values))],
            structured_content={"error": values},
            is_error=True,
        )
    return CallToolResult(content=found.content, structured_content=found.values)


async def _resources(ctx: Context, _params: PaginatedRequestParams | None) -> ListResourcesResult:
    return ListResourcesResult(resources=await resources.list_resources(ctx))


async def _templates(_ctx: Context, _params: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
    return ListResourceTemplatesResult(resource_templates=resources.templates())


async def _read(ctx: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
    try:
        return await resources.read_resource(ctx, str(params.uri))
    except DomainError as error:
        raise MCPError(INVALID_PARAMS, error.detail, {"code": error.code}) from None


SERVER: Server[Any] = Server(
    "headrace", version=version("headrace"), title="Headrace", instructions=INSTRUCTIONS, on_list_tools=_tools,
    on_call_tool=_use, on_list_resources=_resources, on_list_resource_templates=_templates, on_read_resource=_read,
)  # fmt: skip


async def serve_agent(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request of an agent, whose key has been looked at."""
    manager = StreamableHTTPSessionManager(SERVER, stateless=True)
    async with manager.run():
        await manager.handle_request(scope, receive, send)
