// What the studio makes of models, jobs and refusals, without a browser.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createServer } from "vite";

const vite = await createServer({
  root: fileURLToPath(new URL("..", import.meta.url)), server: { middlewareMode: true, ws: false }, appType: "custom", logLevel: "error",
  optimizeDeps: { noDiscovery: true },
});
after(() => vite.close());
const { choicesOf, formOf, inputOf, shapesOf } = await vite.ssrLoadModule("/src/schema.ts");
const words = await vite.ssrLoadModule("/src/words.ts");
const errors = await vite.ssrLoadModule("@headrace/client");

const model = (properties, required = []) => ({ id: "m", name: "M", kind: "image", input_schema: { properties, required } });
const side = { type: "integer", minimum: 64, maximum: 1024, multipleOf: 64, default: 512 };

test("a form has the words apart, each field by its rule, and what a model cannot choose not at all", () => {
  const form = formOf(model({
    prompt: { type: "string", maxLength: 500 }, width: side, height: side, count: { type: "integer", minimum: 1, maximum: 4, default: 1 },
    style: { enum: ["oil", "ink"], default: "oil" }, only: { enum: ["one"] }, strength: { type: "number", maximum: 1 }, tiled: { type: "boolean" },
    negative_prompt: { type: "string", title: "Leave out" }, image: { type: "string", format: "image" },
  }, ["prompt", "image"]));
  assert.deepEqual([form.main, form.most, form.count.name], ["prompt", 500, "count"]);
  assert.deepEqual(form.fields.map(({ name, label, is, required }) => [name, label, is, required]), [
    ["style", "Style", "choice", false], ["strength", "Strength", "number", false], ["tiled", "Tiled", "flag", false],
    ["negative_prompt", "Leave out", "text", false], ["image", "Image", "picture", true],
  ]);
  assert.deepEqual(form.defaults, { width: 512, height: 512, count: 1, style: "oil" });
  assert.deepEqual([choicesOf(form.count), choicesOf(form.fields[0]), choicesOf(form.fields[2])], [[1, 2, 3, 4], ["oil", "ink"], []]);
});

test("words stand where a model has them, and a film's length is seen at once", () => {
  assert.equal(formOf(model({ voice: { type: "string" }, text: { type: "string" } })).main, "text");
  assert.equal(formOf(model({ lyrics: { type: "string" } })).main, "lyrics");
  assert.equal(formOf(model({})).main, "prompt");
  assert.equal(formOf(model({ prompt: { type: "string" }, seconds: { enum: [4, 8] } })).count.name, "seconds");
  assert.equal(formOf(model({ prompt: { type: "string" } })).count, undefined);
});

test("shapes keep to what a model can", () => {
  const sizes = (rule) => shapesOf({ width: rule, height: rule }).map(({ width, height }) => [width, height]);
  assert.deepEqual(sizes(side), [[512, 512], [640, 384], [384, 640]]);
  assert.deepEqual(sizes({ ...side, maximum: 512, minimum: 448 }), [[512, 512], [512, 448], [448, 512]]);
  assert.deepEqual(sizes({ ...side, enum: [512] }), []);
  assert.deepEqual(sizes({ ...side, default: undefined }), []);
  assert.deepEqual(shapesOf({ width: side }), []);
});

test("an order has what was chosen, and not what is as it is anyway", () => {
  const form = formOf(model({ prompt: { type: "string" }, count: { type: "integer", default: 1 }, style: { enum: ["a", "b"], default: "a" } }));
  assert.deepEqual(inputOf(form, "x", { count: 1, style: "b", negative: "" }), { prompt: "x", style: "b" });
  assert.deepEqual(inputOf(form, "x", { count: 2, flag: false }), { prompt: "x", count: 2, flag: false });
});

test("times are said as people say them", () => {
  const now = Date.parse("2026-03-05T12:00:00Z");
  const before = (minutes) => words.ago(new Date(now - minutes * 60_000).toISOString(), now);
  assert.deepEqual([before(0.5), before(1), before(59), before(60), before(23 * 60 + 59)], ["just now", "1 min ago", "59 min ago", "1 h ago", "23 h ago"]);
  assert.match(before(24 * 60), /4/);
  assert.deepEqual([words.credits(1), words.credits(0), words.credits(2)], ["1 credit", "0 credits", "2 credits"]);
});

const job = (more) => ({ status: "queued", input: {}, progress: null, error: null, waiting: null, ended_at: null, outputs: [],
  credits: { reserved: 3, charged: null }, ...more });

test("how far a job is, what it costs, and why it was not made", () => {
  assert.deepEqual(
    [job(), job({ waiting: { position: 1 } }), job({ waiting: { position: 4, estimate_seconds: 30 } }), job({ status: "running" }),
      job({ status: "running", progress: 40 }), job({ status: "running", cancel_requested: true })].map(words.sayProgress),
    ["In line", "Next in line", "No. 4 in line, 30 s", "Being made", "Being made, 40 %", "Being stopped"]);
  const ended = { ended_at: "2026-01-01T00:00:00Z" };
  assert.deepEqual(
    [job(), job({ ...ended, credits: { reserved: 3, charged: 1 } }), job({ ...ended, credits: { reserved: 3, charged: 0 } }),
      job({ ...ended, credits: { reserved: 0, charged: 0 } })].map(words.sayCost),
    ["3 held", "1 credit", "3 given back", "nothing"]);
  assert.equal(words.sayFailure(job({ error: { code: "timed_out" } })), "Not made: it took too long.");
  assert.equal(words.sayFailure(job()), "Not made: something went wrong where it is made.");
  assert.deepEqual([job({ input: { text: "hm" } }), job({ input_erased_at: "x" }), job({ input: { prompt: 5 } })].map(words.promptOf), ["hm", "(forgotten)", "Untitled"]);
});

test("a refusal is told without our words for things", () => {
  const says = (Kind, status, problem) => words.sayError(new Kind(status, problem));
  assert.match(says(errors.PaymentRequiredError, 402, {}), /more credits/);
  assert.match(says(errors.RateLimitedError, 429, {}), /a little fast/);
  assert.equal(says(errors.InvalidRequestError, 422, { code: "invalid_input", detail: "input.width is at most 1024" }), "“width” is at most 1024.");
  assert.match(says(errors.ServerError, 503, { retryable: true, detail: "postgres" }), /in a moment/);
  assert.equal(says(errors.ForbiddenError, 403, { detail: "not yours" }), "not yours");
  assert.match(words.sayError(new errors.UnreachableError(new Error("x"))), /connection/);
  assert.equal(words.sayError(new Error("secret")), "That did not work. Try again.");
});

test("only results that are there are shown, each as what it is", () => {
  const output = (media_type, more) => ({ id: media_type, media_type, status: "stored", url: "/files/x", thumbnail_url: null, width: null, height: null,
    duration_seconds: null, ...more });
  const pieces = words.piecesOf(job({ id: "j", model: "m", input: { prompt: "p" }, outputs: [
    output("image/png", { width: 3, height: 2 }), output("video/mp4", { duration_seconds: 4 }), output("audio/wav"), output("text/plain"),
    output("image/gif", { status: "deleted" })] }));
  assert.deepEqual(pieces.map(({ kind, size, seconds, says }) => [kind, size, seconds, says]),
    [["image", "3 × 2", null, "p"], ["video", null, 4, "p"], ["speech", null, null, "p"], ["text", null, null, "p"]]);
});
