"""Replicate's npm package, unmodified, run by node over TLS."""

import base64
import json
from uuid import UUID

from tests.files import picture
from tests.receivers import receivers, sending
from tests.sdks.house import SdkHouse, needs_node
from tests.support import balance, eventually, one, rows

pytestmark = needs_node

BEGIN = """
import Replicate, {validateWebhook, parseProgressFromLogs} from "replicate";
const client = new Replicate({auth: process.env.KEY, baseUrl: `${process.env.URL}/compat/replicate/v1`});
const out = {};
const caught = async (work) => { try { await work(); return null; } catch (error) { return [error.response?.status ?? 0, String(error.message)]; } };
"""
END = "\nconsole.log(JSON.stringify(out));\n"

CALLS = """
const asked = {prompt: "a harbour", seed: 3};
const found = await client.models.get("headrace", "picture");
const bytes = async (file) => [...new Uint8Array(await (await file.blob()).arrayBuffer()).slice(0, 4)];
out.runs = [];
for (const name of ["headrace/picture", "black-forest-labs/flux-schnell", `headrace/picture:${found.latest_version.id}`]) {
  const seen = [];
  const [file] = await client.run(name, {input: asked}, (each) => seen.push(each));
  out.runs.push([await bytes(file), seen.at(-1).status, parseProgressFromLogs(seen.at(-1).logs)]);
}
const slow = await client.run("headrace/slow", {input: {}, wait: {mode: "block", timeout: 2}});
out.slow = await bytes(slow[0]);
out.text = (await client.run("headrace/text", {input: {prompt: "Why is the sea salt?"}})).join("");
out.streamed = [];
for await (const event of client.stream("headrace/text", {input: {prompt: "Why is the sea salt?"}})) out.streamed.push([event.event, event.data, event.id]);
out.noStream = await caught(async () => { for await (const _ of client.stream("headrace/picture", {input: asked})); });
out.failed = await caught(() => client.run("headrace/broken", {input: {}}));
out.invalid = await caught(() => client.run("headrace/picture", {input: {nonsense: 1}}));
out.unknown = await caught(() => client.predictions.get("nothing"));
const poor = new Replicate({auth: process.env.POOR, baseUrl: `${process.env.URL}/compat/replicate/v1`});
out.poor = await caught(() => poor.run("headrace/picture", {input: {}}));
const going = await client.predictions.create({model: "headrace/slow", input: {}});
await client.predictions.cancel(going.id);
out.canceled = (await client.wait(going, {interval: 50})).status;
out.again = (await client.predictions.cancel(going.id)).status;
const deployed = await client.deployments.predictions.create("headrace", "picture", {input: asked});
out.deployed = (await client.wait(deployed, {interval: 50})).status;
out.pages = [];
for await (const page of client.paginate(client.predictions.list)) out.pages.push(page.length);
out.search = (await client.models.search("flux schnell")).results.map((each) => each.name);
out.models = (await client.models.list()).results.length;
out.versions = (await client.models.versions.list("headrace", "picture")).results.length;
out.version = (await client.models.versions.get("headrace", "picture", found.latest_version.id)).id === found.latest_version.id;
out.account = (await client.accounts.current()).type;
out.hardware = (await client.hardware.list()).length;
out.secret = (await client.webhooks.default.secret.get()).key.slice(0, 6);
out.lists = [await caught(() => client.trainings.list()), await caught(() => client.collections.list()), await caught(() => client.deployments.list())].map((each) => each[0]);
"""


@needs_node
def test_an_npm_program_has_what_it_had(house: SdkHouse) -> None:
    found = house.run_node(BEGIN + CALLS + END, seconds=200, KEY=house.key()[1], POOR=house.key(credits=0)[1])
    progress = {"percentage": 1, "current": 100, "total": 100}
    assert found["runs"] == [[[0x89, 0x50, 0x4E, 0x47], "succeeded", progress]] * 3
    assert found["slow"] == [0x89, 0x50, 0x4E, 0x47]
    assert "".join(data for event, data, _ in found["streamed"] if event == "output") == found["text"] != ""
    assert found["streamed"][-1] == ["done", "{}", "done"]
    assert "does not support streaming" in found["noStream"][1]
    assert found["failed"][1].startswith("Prediction failed: ")
    assert [found[each][0] for each in ("invalid", "unknown", "poor")] == [422, 404, 402]
    assert "nonsense" in found["invalid"][1]
    assert (found["canceled"], found["again"], found["deployed"]) == ("canceled", "canceled", "succeeded")
    assert sum(found["pages"]) >= 8
    assert "flux-schnell" in found["search"]
    assert (found["versions"], found["version"], found["account"], found["hardware"]) == (1, True, "user", 1)
    assert (found["secret"], found["models"] > 5, found["lists"]) == ("whsec_", True, [404, 404, 404])


BURST = """
let sent = 0;
const cut = (url, init) => fetch(url, ++sent < 6 ? {...init, signal: AbortSignal.timeout(60)} : init);
const hurried = new Replicate({auth: process.env.KEY, baseUrl: `${process.env.URL}/compat/replicate/v1`, fetch: cut});
const made = await hurried.predictions.create({model: "headrace/slow", input: {seed: 1}, wait: {mode: "block", timeout: 20}});
out.burst = [sent, made.status, made.id];
"""


def test_six_posts_in_a_burst_are_one_job(house: SdkHouse) -> None:
    account_id, key = house.key(credits=9)
    sent, status, job_id = house.run_node(BEGIN + BURST + END, KEY=key)["burst"]
    assert (sent, status, balance(account_id)) == (6, "succeeded", (8, 0))
    assert rows("select id::text from jobs where account_id = %s", account_id) == [(job_id,)]
    assert house.provider_starts(UUID(job_id)) == 1


FILES = """
const bytes = Buffer.from(process.env.PICTURE, "base64");
const sent = await client.files.create(new File([bytes], "boat.png", {type: "image/png"}), {of: "a boat"});
out.sent = [sent.name, sent.content_type, sent.size, sent.metadata];
out.same = (await client.files.get(sent.id)).etag === sent.etag;
out.listed = (await client.files.list()).results.map((each) => each.id).includes(sent.id);
const made = await client.predictions.create({version: "headrace/sketch-video", input: {prompt: "x", image: bytes}});
out.kept = made.input.image.slice(0, 5);
await client.predictions.cancel(made.id);
out.deleted = await client.files.delete(sent.id);
const hook = await client.predictions.create({model: "headrace/picture", input: {}, webhook: process.env.HOOK, webhook_events_filter: ["completed"]});
out.hooked = (await client.wait(hook, {interval: 50})).id;
"""

PROVE = """
const secret = (await client.webhooks.default.secret.get()).key;
const headers = JSON.parse(process.env.HEADERS);
out.right = await validateWebhook({headers, body: process.env.BODY}, secret);
out.wrong = await validateWebhook({headers, body: process.env.BODY + " "}, secret);
"""


@needs_node
def test_its_files_and_webhooks_are_taken_and_proved(lone_house: SdkHouse) -> None:
    house, (_, key) = lone_house, lone_house.key()
    with receivers(1) as [there]:
        house.system.processes.stop()
        settings = {"PUBLIC_URL": house.url, "ALLOW_PRIVATE_ADDRESSES": there.place}
        house.system.start("api", "worker", "scheduler", api=settings, worker=settings, scheduler=settings)
        given = {"KEY": key, "PICTURE": base64.b64encode(picture()).decode(), "HOOK": there.url}
        found = house.run_node(BEGIN + FILES + END, seconds=120, **given)
        with sending():
            eventually(lambda: len(there.got) == 1, what="the webhook")
        [got] = there.got
        proved = house.run_node(BEGIN + PROVE + END, KEY=key, HEADERS=json.dumps(got.headers), BODY=got.body.decode())
    assert found["sent"] == ["boat.png", "image/png", len(picture()), {"of": "a boat"}]
    assert [found[each] for each in ("same", "listed", "kept", "deleted")] == [True, True, "file_", True]
    assert (got.told["id"], got.told["status"]) == (found["hooked"], "succeeded")
    assert got.told["output"][0].startswith(f"{house.url}/files/")
    assert proved == {"right": True, "wrong": False}
    assert one("select count(*) from deliveries") == (1,)
