import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { test } from "node:test";
import * as client from "@headrace/client";
import { badServer, cut, eventually, frame, json, problem, stream } from "./server.mjs";

const { Connection, frameReader, Headrace, verifyWebhook } = client;

async function served(answers, act) {
  const server = await badServer(...answers);
  try {
    return await act(server);
  } finally {
    await server.close();
  }
}

const refusedWith = async (asked, kind, code) => {
  const error = await asked.then(() => assert.fail("it was not refused"), (refused) => refused);
  assert.ok(error instanceof kind, `${error.name}: ${error.message}`);
  if (code) assert.equal(error.code, code);
  return error;
};

async function take(events, count) {
  const taken = [];
  for await (const event of events) if (taken.push(event) === count) break;
  return taken;
}

test("frames are the same however their bytes are torn", () => {
  const bytes = Buffer.from(`retry: 1000\n\n:\n\nid: 1\nevent: a\ndata: {"x":"häfen 🌊"}\n\n:\n\nid: 2\r\nevent: b\r\ndata: 1\r\ndata: 2\r\n\r\n`);
  const whole = frameReader()(bytes);
  assert.deepEqual(whole.map(({ id, event, data }) => [id, event, data]), [["1", "a", '{"x":"häfen 🌊"}'], ["2", "b", "1\n2"]]);
  for (let at = 0; at <= bytes.length; at++) {
    const read = frameReader();
    assert.deepEqual([...read(bytes.subarray(0, at)), ...read(bytes.subarray(at))], whole, `torn at ${at}`);
  }
  const read = frameReader();
  assert.deepEqual([...bytes].flatMap((byte) => read(Uint8Array.of(byte))), whole);
});

test("a stream that breaks within a character goes on after the last whole event, without a gap or a repeat", () => {
  const second = Buffer.from(frame(2, "job.output", { text: "🌊" }));
  const broken = [frame(1, "job.queued"), second.subarray(0, second.indexOf(Buffer.from("🌊")) + 2)];
  return served([stream(broken, "breaks"), cut, problem(503, "unavailable", { retryable: true }), stream([second, frame(3, "job.succeeded")], "hangs")],
    async ({ url, requests }) => {
      const events = await take(new Connection({ url, key: "k" }).events("/v1/events", { query: { limit: 5 } }), 3);
      assert.deepEqual(events.map(({ number, data }) => [number, data.text]), [[1, undefined], [2, "🌊"], [3, undefined]]);
      assert.deepEqual(requests.map(({ headers }) => headers["last-event-id"]), [undefined, "1", "1", "1"]);
      assert.ok(requests.every((each) => each.url === "/v1/events?limit=5" && each.headers.authorization === "Bearer k"));
    });
});

test("a line on which nothing comes is dead, and one with heartbeats is not", () => {
  const beats = async (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (let beat = 0; beat < 20; beat++) {
      response.write(":\n\n");
      await new Promise((go) => setTimeout(go, 20));
    }
    response.write(frame(2, "b"));
  };
  return served([stream([frame(1, "a")], "hangs"), beats], async ({ url, requests }) => {
    const states = [];
    const events = await take(new Connection({ url }).events("/v1/events", { silenceMs: 200, onState: (open) => states.push(open) }), 2);
    assert.deepEqual(events.map(({ type }) => type), ["a", "b"]);
    assert.equal(requests.length, 2);
    assert.deepEqual(states, [true, false, true, false]);
  });
});

test("a stream that may not be opened says so, and 204 ends it", () =>
  served([problem(403, "forbidden")], ({ url }) => refusedWith(take(new Connection({ url }).events("/v1/events"), 1), client.ForbiddenError))
    .then(() => served([stream([frame(7, "job.succeeded")], "ends"), (response) => response.writeHead(204).end()], async ({ url, requests }) => {
      assert.equal((await take(new Connection({ url }).events("/v1/jobs/x/events"), 9)).length, 1);
      assert.equal(requests.length, 2);
    })));

test("who stops listening leaves no connection behind", () =>
  served([stream([frame(1, "a")], "hangs")], async ({ url }) => {
    const stop = new AbortController();
    const heard = [];
    const listening = (async () => {
      for await (const event of new Connection({ url }).events("/v1/events", { signal: stop.signal })) heard.push(event);
    })();
    await eventually(() => heard.length === 1);
    stop.abort();
    await listening;
  }));

test("a token that is refused is renewed once, for all that wait", () => {
  let asked = 0;
  const answer = (response, { headers }) =>
    headers.authorization === "Bearer t2" ? json({ available: 1 })(response) : problem(401, "not_authenticated")(response);
  return served([answer], async ({ url, requests }) => {
    const api = new Connection({ url, getToken: async () => `t${++asked}` });
    await Promise.all([1, 2, 3].map(() => api.request("GET", "/v1/credits")));
    assert.equal(asked, 2);
    assert.equal(requests.length, 6);
    await refusedWith(new Connection({ url, getToken: () => "no" }).request("GET", "/v1/credits"), client.NotAuthenticatedError);
    await refusedWith(new Connection({ url, key: "no" }).request("GET", "/v1/credits"), client.NotAuthenticatedError);
    assert.equal(requests.length, 9);
  });
});

test("a stream renews its token too, and goes on where it was", () =>
  served([stream([frame(4, "a")], "ends"), problem(401, "not_authenticated"), stream([frame(5, "b")], "hangs")], async ({ url, requests }) => {
    let asked = 0;
    await take(new Connection({ url, getToken: () => `t${++asked}` }).events("/v1/events"), 2);
    assert.deepEqual(requests.map(({ headers }) => [headers.authorization, headers["last-event-id"]]),
      [["Bearer t1", undefined], ["Bearer t1", "4"], ["Bearer t2", "4"]]);
  }));

test("a token is renewed before its end, and a clock that is wrong renews nothing", () =>
  served([json({})], async ({ url }) => {
    const now = Date.now;
    let asked = 0;
    const api = new Connection({ url, getToken: () => ({ token: `t${++asked}`, account: "a", expires_at: new Date(now() + 60_000).toISOString() }) });
    const late = new Connection({ url, getToken: () => ({ token: `t${++asked}`, expires_at: "2020-01-01T00:00:00Z" }) });
    try {
      assert.equal(await api.reach(), "a::");
      for (const _ of [1, 2]) await late.request("GET", "/v1/credits");
      assert.equal(asked, 2);
      Date.now = () => now() + 40_000;
      await api.request("GET", "/v1/credits");
      assert.equal(asked, 3);
    } finally {
      Date.now = now;
    }
  }));

test("an order that is sent again has the same key each time, and another order another", () =>
  served([cut, problem(503, "unavailable", { retryable: true }, { "retry-after": "1" }), problem(429, "rate_limited", { retryable: true }), json({ id: "j" }, 201)],
    async ({ url, requests }) => {
      const api = new Headrace({ url, key: "k" });
      assert.equal((await api.jobs.submit("m", { prompt: "x" }, { labels: { customer: "acme" } })).id, "j");
      await api.jobs.submit("m", {}, { idempotencyKey: "mine" });
      const keys = requests.map(({ headers }) => headers["idempotency-key"]);
      assert.equal(new Set(keys.slice(0, 4)).size, 1);
      assert.equal(keys[4], "mine");
      assert.deepEqual(JSON.parse(requests[0].body), { model: "m", input: { prompt: "x" }, labels: { customer: "acme" } });
    }));

test("what may not succeed soon, or was not safe to repeat, is not sent again", async () => {
  const once = (answer, ask, kind, code) =>
    served([answer], async ({ url, requests }) => {
      const error = await refusedWith(ask(new Headrace({ url, key: "k" })), kind, code);
      assert.equal(requests.length, 1);
      return error;
    });
  const submit = (api) => api.jobs.submit("m", {});
  assert.equal((await once(problem(422, "invalid_input", { param: "width" }), submit, client.InvalidRequestError)).param, "width");
  await once(problem(402, "not_enough_credits"), submit, client.PaymentRequiredError, "not_enough_credits");
  await once(problem(429, "daily_limit_reached"), submit, client.RateLimitedError);
  assert.equal((await once(problem(503, "unavailable", { retryable: true }, { "retry-after": "600" }), submit, client.ServerError)).retryAfter, 600);
  await once(problem(404, "not_found"), (api) => api.jobs.get("x"), client.NotFoundError);
  await once(problem(409, "job_already_ended"), (api) => api.jobs.cancel("x"), client.ConflictError);
  await once(problem(410, "result_gone"), (api) => api.files.get("x"), client.GoneError);
  await once(cut, (api) => api.request("POST", "/api/account/recordUsage", { body: {} }), client.UnreachableError, "unreachable");
  await once((response) => response.writeHead(500).end("<html>"), submit, client.ServerError, "status_500");
});

test("tries are bounded, and who is told to stop stops at once", () =>
  served([cut], async ({ url, requests }) => {
    await refusedWith(new Connection({ url, retries: 1 }).request("GET", "/v1/credits"), client.UnreachableError);
    assert.equal(requests.length, 2);
    const stop = new AbortController();
    const asked = new Connection({ url }).request("GET", "/v1/credits", { signal: stop.signal });
    await eventually(() => requests.length === 3);
    stop.abort(new Error("enough"));
    await assert.rejects(asked, /enough/);
  }));

test("an attempt that takes too long is another try", () =>
  served([() => {}, json({ available: 2 })], async ({ url }) => {
    assert.equal((await new Connection({ url, timeoutMs: 200 }).request("GET", "/v1/credits")).available, 2);
  }));

test("pauses grow to half a minute, and are never the same for all", () => {
  assert.deepEqual([0, 1, 2, 20].map((tries) => client.backoff(tries, () => 0)), [250, 500, 1000, 15_000]);
  assert.equal(client.backoff(20, () => 1), 30_000);
});

test("a list is read page by page, as far as it is wanted", () =>
  served([json({ data: [{ id: 1 }, { id: 2 }], next: "c" }), json({ data: [{ id: 3 }], next: null })], async ({ url, requests }) => {
    const ids = [];
    for await (const { id } of new Headrace({ url }).jobs.list({ status: "failed", limit: 2 })) ids.push(id);
    assert.deepEqual(ids, [1, 2, 3]);
    assert.deepEqual(requests.map((each) => each.url), ["/v1/jobs?status=failed&limit=2", "/v1/jobs?status=failed&limit=2&cursor=c"]);
    for await (const _ of new Headrace({ url }).models.list()) break;
    assert.equal(requests.length, 3);
  }));

test("a path's values are written so that none is another path", () =>
  served([json({})], async ({ url, requests }) => {
    await new Headrace({ url }).jobs.get("../admin?x=1");
    assert.equal(requests[0].url, "/v1/jobs/..%2Fadmin%3Fx%3D1");
  }));

test("a download that breaks goes on where it was, and damaged bytes are refused", async () => {
  const bytes = Buffer.alloc(300_000, "wave ");
  const half = (response) => {
    response.writeHead(200, { "content-length": bytes.length });
    response.write(bytes.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 50));
  };
  const rest = (response, { headers }) => {
    const from = +/bytes=(\d+)-/.exec(headers.range)[1];
    response.writeHead(206).end(bytes.subarray(from));
  };
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  await served([half, rest], async ({ url, requests }) => {
    const blob = await new Headrace({ url }).outputs.download({ url: `${url}/files/x`, sha256, media_type: "image/png" });
    assert.deepEqual([blob.size, blob.type], [bytes.length, "image/png"]);
    assert.match(requests[1].headers.range, /^bytes=[1-9]/);
    assert.equal(requests[0].headers.authorization, undefined);
  });
  await served([(response) => response.end("other")], ({ url }) =>
    refusedWith(new Headrace({ url }).outputs.download({ url, sha256, media_type: "image/png" }), client.BrokenDownloadError));
});

test("a batch is sent as lines, and its results go on behind the last whole line", () => {
  const line = (number) => Buffer.from(JSON.stringify({ number, custom_id: `🌊${number}`, status: "succeeded", outputs: [] }) + "\n");
  const torn = (response) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.write(Buffer.concat([line(1), line(2), line(3).subarray(0, 30)]), () => setTimeout(() => response.destroy(), 50));
  };
  const rest = (response) => response.writeHead(200).end(Buffer.concat([line(3), line(4)]));
  return served([json({ id: "b", accepted: 2 }, 201), torn, cut, rest], async ({ url, requests }) => {
    const { batches } = new Headrace({ url, key: "k" });
    await batches.create([{ custom_id: "a", model: "m", input: {} }, { model: "m", input: { prompt: "x\ny" } }], { accept: "valid", maxRunning: 3 });
    assert.deepEqual(requests[0].body.trim().split("\n").map((each) => JSON.parse(each).input), [{}, { prompt: "x\ny" }]);
    assert.equal(requests[0].url, "/v1/batches?accept=valid&max_running=3");
    assert.equal(requests[0].headers["content-type"], "application/x-ndjson");
    const seen = [];
    for await (const { number, custom_id } of batches.results("b", { all: true })) seen.push([number, custom_id]);
    assert.deepEqual(seen, [1, 2, 3, 4].map((number) => [number, `🌊${number}`]));
    assert.deepEqual(requests.slice(1).map((each) => each.url.replace("/v1/batches/b/results", "")),
      ["?all=true", "?after=2&all=true", "?after=2&all=true"]);
    for await (const _ of batches.results("b")) break;
  });
});

test("results that never come are given up", () =>
  served([(response) => { response.writeHead(200); response.write("{", () => setTimeout(() => response.destroy(), 20)); }], async ({ url }) => {
    const { batches } = new Headrace({ url, key: "k" });
    const reading = (async () => { for await (const _ of batches.results("b")) assert.fail("there is no line"); })();
    await assert.rejects(reading);
  }));

test("a line that falls silent is dead for results and downloads too, which go on where they were", async () => {
  const hangs = (text) => (response) => response.writeHead(200).write(text);
  const rest = (text, status = 200) => (response) => response.writeHead(status).end(text);
  await served([hangs('{"number":1}\n'), rest('{"number":2}\n')], async ({ url, requests }) => {
    const seen = [];
    for await (const { number } of new Headrace({ url, key: "k" }).batches.results("b", { silenceMs: 200 })) seen.push(number);
    assert.deepEqual([seen, requests.map((each) => each.url.split("?")[1])], [[1, 2], [undefined, "after=1"]]);
  });
  const sha256 = createHash("sha256").update("a wave").digest("hex");
  await served([hangs("a w"), rest("ave", 206)], async ({ url, requests }) => {
    const blob = await new Headrace({ url }).outputs.download({ url, sha256, media_type: "text/plain" }, { silenceMs: 200 });
    assert.deepEqual([await blob.text(), requests[1].headers.range], ["a wave", "bytes=3-"]);
  });
  await served([rest("no line\n")], async ({ url, requests }) => {
    const reading = (async () => { for await (const _ of new Headrace({ url }).batches.results("b")) assert.fail("there is no line"); })();
    await assert.rejects(reading, SyntaxError);
    assert.equal(requests.length, 1);
  });
});

test("webhooks: what is signed is believed, and nothing else", async () => {
  const secret = `whsec_${Buffer.from("a secret of 24 characters").toString("base64")}`;
  const body = JSON.stringify({ type: "job.succeeded", timestamp: "2026-11-21T11:35:35Z", data: { job_id: "j🌊" } });
  const now = Date.now();
  const timestamp = String(Math.floor(now / 1000));
  const sign = (text, at = timestamp) => `v1,${createHmac("sha256", "a secret of 24 characters").update(`msg.${at}.${text}`).digest("base64")}`;
  const headers = (signature, at = timestamp) => ({ "webhook-id": "msg", "webhook-timestamp": at, "webhook-signature": signature });
  const good = headers(`v1,bm8= v2,x v1,%% ${sign(body)}`);
  for (const each of [good, new Headers(good)]) assert.equal((await verifyWebhook({ body, headers: each, secret })).data.job_id, "j🌊");
  assert.equal((await verifyWebhook({ body: Buffer.from(body), headers: good, secret: ["whsec_bm8=", secret] })).type, "job.succeeded");
  const old = String(+timestamp - 301);
  for (const [text, given, by] of [
    [body + " ", good, secret], [body, good, "whsec_bm8="], [body, headers(sign(body, old), old), secret], [body, {}, secret],
    [body, headers(""), secret], [body, headers(sign(body).replace("v1,", "v2,")), secret],
  ])
    await refusedWith(verifyWebhook({ body: text, headers: given, secret: by, now }), client.WebhookError);
});
