"""fal's library for JavaScript, unmodified, through `proxyUrl`: its only way to another house."""

from typing import Any
from uuid import UUID

from tests.sdks.house import SdkHouse, needs_node
from tests.support import balance, one, rows

HEAD = """
import { createFalClient, ApiError, ValidationError } from "@fal-ai/client";
const fal = createFalClient({
  credentials: process.env.KEY, proxyUrl: {url: `${process.env.URL}/compat/fal/proxy`, when: "always"},
});
const refused = async (work) => {
  try { await work(); return null; } catch (error) {
    return {name: error.name, status: error.status, message: error.message, type: error.body?.error_type,
            fields: error instanceof ValidationError ? error.getFieldErrors("width").length : 0, id: error.requestId ? 1 : 0};
  }
};
const out = {};
"""
TAIL = "console.log(JSON.stringify(out));"


def played(house: SdkHouse, script: str, *, credits: int = 100) -> tuple[UUID, Any]:
    """What a script has found, with a new account's key."""
    account_id, key = house.key(credits=credits)
    return account_id, house.run_node(HEAD + script + TAIL, KEY=key)


@needs_node
def test_requests_through_the_proxy(house: SdkHouse) -> None:
    account_id, found = played(
        house,
        """
        out.run = (await fal.run("headrace/picture", {input: {seed: 3}})).data.images.length;
        const seen = [];
        const result = await fal.subscribe("fal-ai/flux/dev", {input: {seed: 4}, logs: true, onQueueUpdate: (s) => seen.push(s.status)});
        out.subscribed = [result.data.images.length, result.data.seed, result.requestId.length, seen.at(-1)];
        const streamed = [];
        const second = await fal.subscribe("headrace/slow", {input: {}, mode: "streaming", logs: true, onQueueUpdate: (s) => streamed.push(s.status)});
        out.streaming = [second.data.images.length, streamed.at(-1)];
        const {request_id: requestId} = await fal.queue.submit("headrace/slow", {input: {}, priority: "low"});
        out.status = (await fal.queue.status("headrace/slow", {requestId, logs: true})).status;
        await fal.queue.cancel("headrace/slow", {requestId});
        do {
            out.canceled = await refused(() => fal.queue.result("headrace/slow", {requestId}));
        } while (out.canceled.type === "request_in_progress");  // it is asked to stop
        const stream = await fal.stream("headrace/text", {input: {prompt: "a harbour"}});
        let last = null;
        for await (const event of stream) last = event;
        out.text = [(await stream.done()).partial, last.output.length > 0];
        """,
    )
    assert found["run"] == 1
    assert found["subscribed"] == [1, 4, 36, "COMPLETED"]
    assert found["streaming"] == [1, "COMPLETED"]
    assert found["status"] in ("IN_QUEUE", "IN_PROGRESS")
    assert (found["canceled"]["status"], found["canceled"]["type"]) == (400, "client_cancelled")
    assert found["text"] == [False, True]
    assert balance(account_id)[1] == 0


@needs_node
def test_refusals_and_failures_are_told_in_our_words(house: SdkHouse) -> None:
    _, found = played(
        house,
        """
        out.invalid = await refused(() => fal.run("headrace/picture", {input: {width: "wide"}}));
        out.unknown = await refused(() => fal.queue.submit("headrace/nothing", {input: {}}));
        out.failed = await refused(() => fal.subscribe("headrace/broken", {input: {}}));
        """,
    )
    assert (found["invalid"]["name"], found["invalid"]["status"], found["invalid"]["fields"]) == (
        "ValidationError",
        422,
        1,
    )
    assert (found["unknown"]["status"], found["unknown"]["id"]) == (404, 1)
    assert (found["failed"]["status"], found["failed"]["name"]) == (500, "ApiError")
    assert found["failed"]["message"] == "this cannot be drawn"
    _, poor = played(house, 'out.poor = await refused(() => fal.run("headrace/picture", {input: {}}));', credits=0)
    assert poor["poor"]["status"] == 402


@needs_node
def test_a_file_is_uploaded_and_found_in_an_input(house: SdkHouse) -> None:
    house.offer("edit", input_schema={
        "type": "object", "additionalProperties": False,
        "properties": {"image_url": {"type": "string", "format": "image"}},
    })  # fmt: skip
    account_id, found = played(
        house,
        """
        const {data} = await fal.run("headrace/picture", {input: {}});
        const bytes = await (await fetch(data.images[0].url)).arrayBuffer();
        const url = await fal.storage.upload(new File([bytes], "a.png", {type: "image/png"}));
        out.same = Buffer.from(await (await fetch(url)).arrayBuffer()).equals(Buffer.from(bytes));
        const wait = (ms) => new Promise((done) => setTimeout(done, ms));
        await wait(1000);
        out.edited = (await fal.run("headrace/edit", {input: {image_url: new Blob([bytes], {type: "image/png"})}})).data.images.length;
        """,
    )
    assert found == {"same": True, "edited": 1}
    assert rows("select count(*) from uploads where account_id = %s", account_id) == [(2,)]
    kept = one("select input->>'image_url' from jobs where account_id = %s and model_id = 'edit'", account_id)
    assert kept[0].startswith("file_")
