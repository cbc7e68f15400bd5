"""OpenAI's library for JavaScript, run by node, and a program that cannot wait."""

import httpx
import openai
import pytest
from openai import OpenAI

from tests.sdks.house import SdkHouse, needs_node
from tests.support import rows

SCRIPT = """
import OpenAI, { toFile } from "openai";
const client = new OpenAI({apiKey: process.env.KEY, baseURL: `${process.env.URL}/compat/openai/v1`});
const found = {};
const refused = async (ask) => { try { await ask(); return null; } catch (error) { return [error.status, error.code, error.param, error.type]; } };

const drawn = await client.images.generate({model: "picture", prompt: "a harbour", n: 2, size: "128x64"});
found.drawn = [drawn.data.length, Buffer.from(drawn.data[0].b64_json, "base64").toString("latin1").slice(1, 4)];
const events = [];
for await (const event of await client.images.generate({model: "picture", prompt: "a harbour", stream: true})) events.push(event.type);
found.events = events;
const bytes = Buffer.from(drawn.data[0].b64_json, "base64");
const edited = await client.images.edit({model: "editor", image: await toFile(bytes, "a.png", {type: "image/png"}), prompt: "bluer"});
found.edited = edited.data.length;

const order = await client.videos.create({model: "film", prompt: "a harbour", input_reference: {image_url: `data:image/png;base64,${drawn.data[0].b64_json}`}});
let film = order;
while (!["completed", "failed"].includes(film.status)) { await new Promise((go) => setTimeout(go, 300)); film = await client.videos.retrieve(order.id); }
const content = await client.videos.downloadContent(film.id);
found.film = [film.status, Buffer.from(await content.arrayBuffer()).toString("latin1").slice(4, 8)];
const listed = [];
for await (const each of client.videos.list({limit: 1})) listed.push(each.id);
found.listed = listed.length;

const spoken = await client.audio.speech.create({model: "sketch-speech", input: "Hello", voice: "alloy"});
found.spoken = [spoken.headers.get("content-type"), Buffer.from(await spoken.arrayBuffer()).toString("latin1").slice(0, 4)];

const messages = [{role: "user", content: "Why is the sea salt?"}];
const whole = await client.chat.completions.create({model: "sketch-text", messages});
let text = "";
for await (const chunk of await client.chat.completions.create({model: "sketch-text", messages, stream: true})) text += chunk.choices[0]?.delta?.content ?? "";
found.text = text.length > 0 && text === whole.choices[0].message.content;
const answered = await client.responses.create({model: "sketch-text", input: "Why is the sea salt?"});
const stream = client.responses.stream({model: "sketch-text", input: "Why is the sea salt?"});
found.response = (await stream.finalResponse()).output_text === answered.output_text;

const models = [];
for await (const each of client.models.list()) models.push(each.id);
found.models = models.includes("black-forest-labs/flux-schnell");
const line = JSON.stringify({custom_id: "a", method: "POST", url: "/v1/images/generations", body: {model: "picture", prompt: "x"}});
const file = await client.files.create({file: await toFile(Buffer.from(line), "in.jsonl"), purpose: "batch"});
let batch = await client.batches.create({input_file_id: file.id, endpoint: "/v1/images/generations", completion_window: "24h"});
while (batch.status !== "completed") { await new Promise((go) => setTimeout(go, 300)); batch = await client.batches.retrieve(batch.id); }
found.batch = JSON.parse(await (await client.files.content(batch.output_file_id)).text()).custom_id;

found.failed = await refused(() => client.images.generate({model: "broken", prompt: "x"}));
found.wrong = await refused(() => client.images.generate({model: "picture", prompt: "x", output_format: "svg"}));
found.nobody = await refused(() => new OpenAI({apiKey: "hr_no", baseURL: client.baseURL}).models.list());
found.poor = await refused(() => new OpenAI({apiKey: process.env.POOR, baseURL: client.baseURL}).images.generate({model: "picture", prompt: "x"}));
found.nothing = await refused(() => client.embeddings.create({model: "x", input: "y"}));
console.log(JSON.stringify(found));
"""

FILM = {
    "type": "object", "additionalProperties": False, "required": ["prompt"],
    "properties": {"prompt": {"type": "string"}, "image": {"type": "string", "format": "image"}},
}  # fmt: skip


@needs_node
def test_the_npm_package_does_all_of_it(house: SdkHouse) -> None:
    house.offer("editor", input_schema=FILM)
    house.offer("film", kind="video", input_schema=FILM, routes=[{"provider": "sketch", "model": "video"}])
    _, key = house.key()
    _, poor = house.key(credits=0)
    found = house.run_node(SCRIPT, seconds=240, KEY=key, POOR=poor)
    assert found == {
        "drawn": [2, "PNG"], "events": ["image_generation.completed"], "edited": 1, "film": ["completed", "ftyp"], "listed": 1,
        "spoken": ["audio/wav", "RIFF"], "text": True, "response": True, "models": True, "batch": "a",
        "failed": [502, "sketch_permanent", None, "server_error"],
        "wrong": [400, "invalid_input", "output_format", "invalid_request_error"],
        "nobody": [401, "invalid_api_key", None, "invalid_request_error"],
        "poor": [402, "insufficient_quota", None, "insufficient_quota"],
        "nothing": [404, "not_found", None, "invalid_request_error"],
    }  # fmt: skip


def test_a_job_that_outlasts_the_wait_is_named_and_not_ordered_again(house: SdkHouse) -> None:
    house.offer("long", options={"instant": False, "delay_seconds": 12.0})
    account_id, key = house.key()
    with OpenAI(api_key=key, base_url=f"{house.url}/compat/openai/v1", timeout=10.5) as client:
        with pytest.raises(openai.InternalServerError) as waits:
            client.images.generate(model="long", prompt="a harbour")
        assert (waits.value.status_code, waits.value.code) == (504, "still_running")
        assert isinstance(waits.value.body, dict)
        [(job_id,)] = rows("select id from jobs where account_id = %s", account_id)
        assert waits.value.body["job_id"] == str(job_id)
        with pytest.raises(openai.BadRequestError) as canceled:
            house_cancel(house, key, str(job_id))
            client.with_options(max_retries=0, timeout=60).images.generate(
                model="long", prompt="a harbour", extra_headers={"x-stainless-retry-count": "1"}
            )
        assert canceled.value.code == "canceled"
    assert rows("select count(*) from jobs where account_id = %s", account_id) == [(1,)]


def house_cancel(house: SdkHouse, key: str, job_id: str) -> None:
    """Call a job off, as its owner does."""
    httpx.post(
        f"{house.system.url}/v1/jobs/{job_id}/cancel", headers={"authorization": f"Bearer {key}"}
    ).raise_for_status()
