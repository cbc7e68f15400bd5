"""@headrace/client against a running system, from node."""

import time

import httpx
import pytest

from models.accounts import paid_periods
from models.db import transaction
from tests.clients.conftest import OUTAGE_SECONDS, admin_key
from tests.clients_js.house import ClientHouse, needs_clients
from tests.proxies import Mode
from tests.support import ended, one, rows

pytestmark = needs_clients

GROUPS = """
const found = {};
const all = async (list) => { const taken = []; for await (const each of list) taken.push(each); return taken; };
const until = async (count, list) => { // a duty brings results into the gallery
  for (;;) {
    const taken = await all(list());
    if (taken.length >= count) return taken;
    await new Promise((go) => setTimeout(go, 50));
  }
};

const job = await client.jobs.run("sketch-image", { prompt: "a harbour" }, { labels: { customer: "acme" } });
found.job = [job.status, job.outputs.length, job.labels.customer];
const blob = await client.outputs.download(job.outputs[0]);
found.download = [blob.size === job.outputs[0].size_bytes, blob.type];
const file = await client.files.upload(blob, { name: "harbour.png" });
found.file = [file.media_type, (await client.files.get(file.id)).sha256 === job.outputs[0].sha256, (await all(client.files.list())).length];
await client.files.delete(file.id);
found.kept = [(await client.outputs.keep(job.id, 0)).kept, (await client.outputs.letGo(job.id, 0)).kept];
const again = await client.jobs.wait((await client.jobs.retry(job.id)).id);
found.retry = [again.retry_of === job.id, (await client.jobs.get(again.id)).status];
found.listed = [(await all(client.jobs.list({ limit: 1 }))).length, (await all(client.jobs.list({ label: "customer:none" }))).length];
const events = await all(client.jobs.stream(again.id));
found.stream = events.map((event) => event.type);

const text = [];
const spoken = await client.jobs.submit("sketch-text", { prompt: "Why is the sea salt?" });
for await (const event of client.jobs.stream(spoken.id)) text.push(event.type);
found.text = text.at(-1);

found.quote = (await client.quote("sketch-image", { prompt: "x" })).enough;
found.credits = [(await client.credits.get()).available < 1000, (await all(client.credits.entries())).length > 0];
found.models = [(await client.models.get("sketch-image")).kind, (await all(client.models.list())).length > 3];
found.usage = (await client.usage()).rows.length > 0;

const [item] = await until(1, () => client.gallery.list("images", { job: job.id }));
found.gallery = [item.prompt, (await client.gallery.like("images", item.id)).liked, (await client.gallery.like("images", item.id, false)).liked];
found.named = (await client.gallery.update("images", item.id, { title: "Harbour" })).title;
found.search = (await until(2, () => client.gallery.search("images", { q: "Harbour" }))).length;
const shelf = await client.collections.create({ name: "Sea" });
await client.collections.add(shelf.id, [item.id]);
found.shelf = [(await all(client.collections.items(shelf.id))).length, (await all(client.collections.list())).length, (await client.collections.get(shelf.id)).name];
found.link = (await client.collections.share(shelf.id)).url.startsWith("http");
await client.collections.remove(shelf.id, [item.id]);
await client.collections.delete(shelf.id);

found.notifications = [await client.notifications.unread(), (await all(client.notifications.list())).length];
await client.notifications.read();
const hook = await client.webhooks.create({ url: "https://example.com/hook", events: ["job.succeeded"] });
found.webhooks = [hook.secret.startsWith("whsec_"), (await all(client.webhooks.list())).length];
await client.webhooks.delete(hook.id);
found.lines = (await client.request("GET", "/v1/me/export")).trim().split("\\n").every((line) => JSON.parse(line));
found.any = (await client.request("GET", "/v1/me")).account_id !== undefined;

const held = await client.holds.create({ amount: 5, reference: "render-1" });
const part = await client.holds.settle(held.id, { amount: 2 });
const longer = await client.holds.extend(held.id, 7200);
found.hold = [held.held, part.settled, part.held, longer.expires_at > held.expires_at, (await client.holds.get(held.id)).reference];
found.held = [(await all(client.holds.list({ open: "true" }))).length, (await client.holds.release(held.id)).released, (await all(client.holds.list({ open: "true" }))).length];

const orders = ["a", "b", "c"].map((name) => ({ custom_id: name, model: "sketch-image", input: { prompt: name } }));
const batch = await client.batches.create(orders, { maxRunning: 2 });
const over = await client.batches.wait(batch.id);
const results = await all(client.batches.results(batch.id));
found.batch = [batch.accepted, over.status, results.map((each) => [each.custom_id, each.status, each.outputs.length]).join(" ")];
found.batches = [(await all(client.batches.list())).length, (await all(client.batches.results(batch.id, { after: 2 }))).length];
found.some = (await client.batches.create([...orders, { model: "sketch-image", input: { prompt: 5 } }], { accept: "valid" })).refused;

found.sold = [(await all(client.payments.packs())).length > 0, (await all(client.payments.plans())).length > 0, (await all(client.payments.list())).length];
const member = new Headrace({ url: client.url, key: process.env.MEMBER });
found.plan = [(await member.subscription.get()).plan, (await member.subscription.cancel()).status, (await member.subscription.resume()).status];

found.refused = [
  await refused(client.payments.create({ pack: "no-pack", currency: "EUR" })),
  await refused(client.subscription.get()),
  await refused(client.batches.create([...orders, { model: "sketch-image", input: { prompt: 5 } }])),
  await refused(client.holds.settle(held.id, { amount: 1 })),
  await refused(client.jobs.get("0198c0de-0000-7000-8000-000000000000")),
  await refused(client.jobs.cancel(job.id)),
  await refused(client.jobs.submit("no-model", {})),
  await refused(client.jobs.submit("sketch-image", { prompt: 5 })),
  await refused(new Headrace({ url: client.url, key: "hr_no" }).credits.get()),
  await refused(new Headrace({ url: client.url, key: process.env.POOR }).jobs.run("sketch-image", { prompt: "x" })),
  await refused(client.jobs.run("broken", { prompt: "x" })),
  await refused(client.request("GET", "/v1/admin/jobs")),
];
await client.outputs.delete(job.id, 0);
found.gone = await refused(client.outputs.download(job.outputs[0]));
console.log(JSON.stringify(found));
"""


def test_every_group_of_calls_does_what_it_says(house: ClientHouse) -> None:
    _, key = house.key()
    member_id, member = house.key(credits=0)
    with transaction() as conn:
        paid_periods.subscribe(conn, member_id, "creator")
    _, poor = house.key(credits=0)
    found = house.run(GROUPS, KEY=key, MEMBER=member, POOR=poor)
    assert found == {
        "job": ["succeeded", 1, "acme"], "download": [True, "image/png"], "file": ["image/png", True, 1], "kept": [True, False],
        "retry": [True, "succeeded"], "listed": [2, 0], "stream": ["job"], "text": "job.succeeded", "quote": True,
        "credits": [True, True], "models": ["image", True], "usage": True, "gallery": ["a harbour", True, False],
        "named": "Harbour", "search": 2, "shelf": [1, 1, "Sea"], "link": True, "notifications": [0, 0], "webhooks": [True, 1],
        "lines": True, "hold": [5, 2, 3, True, "render-1"], "held": [1, 3, 0], "batch": [3, "completed", "a,succeeded,1 b,succeeded,1 c,succeeded,1"],
        "batches": [1, 1], "some": 1, "sold": [False, True, 0], "plan": ["creator", "canceled", "active"], "any": True, "gone": ["GoneError", "result_gone"],
        "refused": [
            ["NotFoundError", "not_found"], ["NotFoundError", "not_found"], ["InvalidRequestError", "batch_refused"],
            ["InvalidRequestError", "hold_ended"],
            ["NotFoundError", "not_found"], ["InvalidRequestError", "job_already_ended"], ["NotFoundError", "unknown_model"],
            ["InvalidRequestError", "invalid_input"], ["NotAuthenticatedError", "not_authenticated"],
            ["PaymentRequiredError", "not_enough_credits"], ["JobFailedError", "sketch_permanent"], ["ForbiddenError", "forbidden"],
        ],
    }  # fmt: skip


def test_every_route_of_the_document_is_reached_by_its_name(house: ClientHouse) -> None:
    """With ids of nothing and bodies of nothing: what the API says is its own word, of a route that it has."""
    script = """
    import { readFileSync } from "node:fs";
    const { paths } = JSON.parse(readFileSync("../../docs/openapi.json", "utf8"));
    const once = new Headrace({ url: process.env.URL, key: process.env.KEY, retries: 0 });
    const told = {}, odd = [];
    for (const [path, methods] of Object.entries(paths))
      for (const method of ["get", "put", "patch", "post", "delete"].filter((each) => methods[each])) {
        const ids = [...path.matchAll(/{(\\w+)}/g)].map(([, name]) => [name, name === "index" ? 0 : "0198c0de-0000-7000-8000-000000000000"]);
        const content = methods[method].requestBody?.content;
        const body = content && (content["application/json"] ? {} : content["multipart/form-data"] ? new FormData() : "\\n");
        const answer = await once.request(method.toUpperCase(), path, { path: Object.fromEntries(ids), ...(body ? { body } : {}) })
          .then(() => "well", (error) => error instanceof headrace.HeadraceError ? error : odd.push([method, path, String(error)]));
        const code = answer === "well" ? "well" : answer.code;
        told[code] = (told[code] ?? 0) + 1;
        if (answer.status === 0 || answer.status === 405 || answer.status >= 500 || (answer.status === 404 && answer.message === "Not Found"))
          odd.push([method, path, answer.status, answer.code, answer.message]);
      }
    console.log(JSON.stringify([odd, told]));
    """
    odd, told_by_code = house.run(script, KEY=admin_key())
    assert odd == []
    assert sum(told_by_code.values()) > 220
    assert told_by_code["well"] > 50


def test_a_slow_job_is_watched_waited_for_and_canceled(house: ClientHouse) -> None:
    _, key = house.key()
    script = """
    const slow = await client.jobs.submit("slow", { prompt: "x" });
    const started = Date.now();
    const types = [];
    const watching = (async () => { for await (const event of client.jobs.stream(slow.id)) types.push(event.type); })();
    const waited = await client.jobs.wait(slow.id);
    await watching;
    const other = await client.jobs.submit("slow", { prompt: "y" });
    await client.jobs.cancel(other.id);
    const canceled = await client.jobs.wait(other.id);
    const stop = new AbortController();
    const left = client.jobs.run("slow", { prompt: "z" }, { signal: stop.signal }).catch((error) => error.message);
    setTimeout(() => stop.abort(new Error("enough")), 500);
    console.log(JSON.stringify([waited.status, types[0], types.at(-1), canceled.status, await left]));
    """
    assert house.run(script, KEY=key) == ["succeeded", "job", "job.succeeded", "canceled", "enough"]


def test_answers_that_are_lost_and_an_api_that_is_away_order_nothing_twice(house: ClientHouse) -> None:
    """The order arrives and its answer does not; then the API stops while a stream is open, and comes again."""
    account_id, key = house.key()
    house.line.lose_answer_to(b"POST /v1/jobs ")
    script = """
    const slow = await client.jobs.submit("slow", { prompt: "x" });
    const numbers = [];
    let restarting;
    for await (const event of client.events("/v1/events", { after: 0 })) {
      if (event.number !== null) numbers.push(event.number);
      if (event.type === "job.queued") restarting = fetch(process.env.SITE, { method: "POST" });
      if (event.type === "job.succeeded") break;
    }
    await restarting;
    console.log(JSON.stringify([numbers, (await client.jobs.get(slow.id)).status]));
    """

    def restart() -> dict[str, str]:
        house.restart_api()
        return {}

    house.site.token = restart
    numbers, status = house.run(script, KEY=key, URL=house.line.place(house.system.url), SITE=house.site.url)
    assert status == "succeeded"
    assert numbers == list(range(1, len(numbers) + 1))
    assert rows("select count(*) from jobs where account_id = %s", account_id) == [(1,)]


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.HANG])
@pytest.mark.timeout(240 + OUTAGE_SECONDS)
def test_a_stream_without_network_goes_on_with_all_that_was_missed(house: ClientHouse, mode: Mode) -> None:
    """The line is gone, or takes what is sent and answers nothing; meanwhile others order."""
    account_id, key = house.key()
    script = """
    const numbers = [], states = [];
    let ended = 0, away;
    const stream = client.events("/v1/events", { after: 0, silenceMs: 3000, onState: (open) => states.push(open) });
    const first = await new Headrace({ url: process.env.DIRECT, key: process.env.KEY }).jobs.submit("quick", {});
    for await (const event of stream) {
      if (event.number === null) continue;
      numbers.push(event.number);
      if (event.type !== "job.succeeded") continue;
      if (event.job_id === first.id) away = fetch(process.env.SITE, { method: "POST" });
      if (++ended === 4) break;
    }
    await away;
    console.log(JSON.stringify([numbers, states.filter((open) => !open).length > 0]));
    """

    def outage() -> dict[str, str]:
        headers = {"authorization": f"Bearer {key}"}
        with house.line.being(mode), httpx.Client(base_url=house.system.url, headers=headers, timeout=30) as other:
            for _ in range(3):
                order = other.post("/v1/jobs", json={"model": "quick", "input": {}})
                ended(other, order.raise_for_status().json()["id"])
            time.sleep(OUTAGE_SECONDS)
        return {}

    house.site.token = outage
    given = {"KEY": key, "URL": house.line.place(house.system.url), "DIRECT": house.system.url, "SITE": house.site.url}
    numbers, was_away = house.run(script, seconds=100 + OUTAGE_SECONDS, **given)
    assert was_away
    assert numbers == list(range(1, len(numbers) + 1))
    assert rows("select count(*) from jobs where account_id = %s", account_id) == [(4,)]


def test_five_hundred_jobs_at_once_are_ordered_once_each_and_all_heard_of(house: ClientHouse) -> None:
    account_id, key = house.key(credits=100_000)
    with transaction() as conn:
        conn.execute("update accounts set plan_id = 'enterprise' where id = %s", [account_id])
    script = """
    const ended = new Set();
    const stop = new AbortController();
    const listening = (async () => {
      for await (const event of client.events("/v1/events", { signal: stop.signal }))
        if (event.type === "job.succeeded" && ended.add(event.job_id).size === 500) break;
    })();
    const jobs = await Promise.all(Array.from({ length: 500 }, (_, at) => client.jobs.submit("quick", { prompt: `${at}` })));
    await listening;
    let listed = 0;
    for await (const job of client.jobs.list({ status: "succeeded", limit: 100 })) listed += ended.has(job.id);
    console.log(JSON.stringify([new Set(jobs.map((job) => job.id)).size, ended.size, listed]));
    """
    assert house.run(script, KEY=key, seconds=100) == [500, 500, 500]
    assert one("select count(*) from jobs where account_id = %s", account_id) == (500,)


def test_two_hundred_megabytes_go_up_and_down_whole(house: ClientHouse) -> None:
    """A sound, as samples: what came down is what went up, after a cut too."""
    _, key = house.key()
    script = """
    const samples = 105_000_000;
    const wave = Buffer.alloc(44 + samples * 2, "wave");
    wave.write("RIFF", 0); wave.writeUInt32LE(36 + samples * 2, 4); wave.write("WAVEfmt ", 8); wave.writeUInt32LE(16, 16);
    wave.writeUInt16LE(1, 20); wave.writeUInt16LE(1, 22); wave.writeUInt32LE(48000, 24); wave.writeUInt32LE(96000, 28);
    wave.writeUInt16LE(2, 32); wave.writeUInt16LE(16, 34); wave.write("data", 36); wave.writeUInt32LE(samples * 2, 40);
    const file = await client.files.upload(wave, { name: "long.wav" });
    const blob = await client.outputs.download(file);
    const same = wave.equals(Buffer.from(await blob.arrayBuffer()));
    console.log(JSON.stringify([file.media_type, file.size_bytes === wave.length, same]));
    """
    assert house.run(script, KEY=key, seconds=100) == ["audio/wav", True, True]
