"""Agents: the real client of the Model Context Protocol against a running system."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult

from models.access import api_keys
from models.db import transaction
from tests.sdks.house import SdkHouse
from tests.support import account, balance, key_of, one

Doing = Callable[[Client], Awaitable[Any]]


@asynccontextmanager
async def agent(house: SdkHouse, key: str) -> AsyncIterator[Client]:
    """An agent with a key."""
    headers = {"authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(f"{house.system.url}/mcp", http_client=http)) as client,
    ):
        yield client


def act(house: SdkHouse, key: str, doing: Doing) -> Any:
    """Do something as an agent."""

    async def run() -> Any:
        async with agent(house, key) as client:
            return await doing(client)

    return asyncio.run(run())


def use(house: SdkHouse, key: str, tool: str, **arguments: Any) -> CallToolResult:
    """What a tool answers."""
    found: CallToolResult = act(house, key, lambda client: client.call_tool(tool, arguments))
    return found


def refused(found: CallToolResult) -> dict[str, Any]:
    """Why a tool has refused."""
    assert found.is_error, found
    told: dict[str, Any] = found.structured_content["error"]
    return told


def test_an_agent_finds_a_model_asks_its_price_generates_and_reads_the_result(house: SdkHouse) -> None:
    account_id, key = house.key(credits=10)
    progress: list[str | None] = []

    async def heard(_progress: float, _total: float | None, message: str | None) -> None:
        progress.append(message)

    async def journey(client: Client) -> None:
        tools = await client.list_tools()
        assert {each.name for each in tools.tools} == {"find_models", "ask_price", "generate", "get_job", "cancel_job"}
        models = (await client.call_tool("find_models", {"query": "SLOW", "kind": "image"})).structured_content[
            "models"
        ]
        assert [each["id"] for each in models] == ["slow"]
        price = await client.call_tool("ask_price", {"model": "slow", "input": {}})
        assert (price.structured_content["credits"], price.structured_content["enough"]) == (1, True)
        made = await client.call_tool("generate", {"model": "slow", "input": {}}, progress_callback=heard)
        told = made.structured_content
        assert (told["status"], told["credits"], len(told["outputs"])) == ("succeeded", 1, 1)
        assert [each.mime_type for each in made.content if each.type == "resource_link"] == ["image/png"]
        looked = await client.call_tool("get_job", {"job": told["job"]})
        assert looked.structured_content == told
        listed = [each.uri for each in (await client.list_resources()).resources]
        assert listed[0] == f"headrace://jobs/{told['job']}"
        assert '"status":"succeeded"' in (await client.read_resource(listed[0])).contents[0].text
        assert (await client.read_resource(listed[1])).contents[0].blob.startswith("iVBOR")

    act(house, key, journey)
    assert progress, "nobody was told how far it is"
    assert balance(account_id) == (9, 0)


def test_a_text_is_answered_as_a_text(house: SdkHouse) -> None:
    _, key = house.key()
    found = use(house, key, "generate", model="text", input={"prompt": "why is the sea salty?"})
    assert len(found.structured_content["text"]) > 20


def test_an_order_with_a_name_is_one_job(house: SdkHouse) -> None:
    account_id, key = house.key(credits=10)
    asked = {"model": "picture", "input": {}, "idempotency_key": "mine"}
    first, second = (use(house, key, "generate", **asked).structured_content["job"] for _ in range(2))
    assert first == second
    assert balance(account_id) == (9, 0)


def test_what_takes_longer_than_the_patience_goes_on_and_can_be_called_off(house: SdkHouse) -> None:
    account_id, key = house.key(credits=10)
    found = use(house, key, "generate", model="slow", input={}, wait_seconds=0).structured_content
    assert found["status"] in {"queued", "running"}
    assert use(house, key, "cancel_job", job=found["job"]).structured_content["status"] in {"canceled", "running"}
    assert one("select count(*) from jobs where account_id = %s", account_id) == (1,)


WRONG = [
    ("generate", {"model": "nothing", "input": {}}, "unknown_model", "model"),
    ("generate", {"model": "picture", "input": {"seed": "x"}}, "invalid_input", "input.seed"),
    ("generate", {"model": "picture"}, "invalid_input", "input"),
    ("generate", {"model": "picture", "input": {}, "wait_seconds": 1e9}, "invalid_input", "wait_seconds"),
    ("ask_price", {"model": "picture", "input": {}, "more": 1}, "invalid_input", "more"),
    ("get_job", {"job": "nonsense"}, "not_found", "id"),
    ("find_models", {"kind": "smell"}, "invalid_input", "kind"),
    ("no_tool", {}, "invalid_input", "name"),
]


def test_what_is_wrong_is_told_as_the_tools_result(house: SdkHouse) -> None:
    _, key = house.key()

    async def try_all(client: Client) -> list[tuple[str, str]]:
        found = [refused(await client.call_tool(tool, arguments)) for tool, arguments, _, _ in WRONG]
        return [(each["code"], each["param"]) for each in found]

    assert act(house, key, try_all) == [(code, param) for _, _, code, param in WRONG]


def test_without_credits_without_the_scope_and_of_others_nothing_is_done(house: SdkHouse) -> None:
    poor, (mine, key) = key_of(account()), house.key()
    assert refused(use(house, poor, "generate", model="picture", input={}))["code"] == "not_enough_credits"
    with transaction() as conn:
        reader = api_keys.create(conn, mine, api_keys.NewKey("reader", scopes=frozenset({"read"})))[1]
    assert refused(use(house, reader, "generate", model="picture", input={}))["code"] == "forbidden"
    made = use(house, key, "generate", model="picture", input={}).structured_content
    for tool in ("get_job", "cancel_job"):
        assert refused(use(house, poor, tool, job=made["job"]))["code"] == "not_found"
    uris = [each.uri for each in act(house, key, lambda client: client.list_resources()).resources]
    assert len(uris) == 2

    async def read_others(client: Client) -> None:
        for uri in [*uris, "headrace://results/nonsense", "file:///etc/passwd"]:
            with pytest.raises(MCPError):
                await client.read_resource(uri)

    act(house, poor, read_others)


def test_nobody_comes_in_without_a_key(house: SdkHouse) -> None:
    for headers in ({}, {"authorization": "Bearer hr_nonsense"}):
        found = httpx.post(
            f"{house.system.url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=headers
        )
        assert (found.status_code, found.json()["code"]) == (401, "not_authenticated")
    for body in (b"", b"nonsense", b"[]", b'{"jsonrpc": "2.0"}'):
        found = httpx.post(
            f"{house.system.url}/mcp", content=body,
            headers={"authorization": f"Bearer {house.key()[1]}", "content-type": "application/json", "accept": "application/json, text/event-stream"}, timeout=60,
        )  # fmt: skip
        assert 400 <= found.status_code < 500, (body, found.text)
