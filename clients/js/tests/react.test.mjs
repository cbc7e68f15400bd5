import assert from "node:assert/strict";
import { test } from "node:test";
import { buildSync } from "esbuild";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { HeadraceProvider, useConnection, useCredits, useEvents, useGenerate, useJob, useJobs } from "@headrace/react";

const source = (path) => {
  const { outputFiles } = buildSync({ entryPoints: [new URL(`../${path}`, import.meta.url).pathname], bundle: true, format: "esm", write: false });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
};
const { jobAfter, matching, newer } = await source("react/src/changes.ts");

const JOB = { id: "b", status: "queued", model: "m", labels: { customer: "a:b" }, attempts: 0, outputs: [], progress: null, error: null,
  credits: { reserved: 3, charged: null }, waiting: { position: 1 }, ended_at: null };
const event = (type, data = {}) => ({ number: 1, type, job_id: "b", created_at: "2026-01-01T00:00:00Z", data });

test("a job follows its events, and after its end nothing that was only live", () => {
  const running = jobAfter(jobAfter(JOB, event("job.running", { attempt: 1 })), event("job.progress", { progress: 40 }));
  assert.deepEqual([running.status, running.attempts, running.progress, running.waiting], ["running", 1, 40, null]);
  const drawn = jobAfter(jobAfter(running, event("job.output", { output: { id: "o", url: "u" } })), event("job.output", { output: { id: "o", url: "v" } }));
  assert.deepEqual(drawn.outputs.map(({ url, status }) => [url, status]), [["v", "stored"]]);
  const over = jobAfter(drawn, event("job.succeeded", { credits: 2 }));
  assert.deepEqual([over.status, over.progress, over.credits, over.ended_at], ["succeeded", 100, { reserved: 3, charged: 2 }, "2026-01-01T00:00:00Z"]);
  const waits = jobAfter(running, event("job.waiting", { attempt: 1, reason: "r", seconds: 9 }));
  assert.deepEqual([waits.status, waits.attempts, waits.waiting], ["queued", 1, { position: null, reason: "r", estimate_seconds: 9 }]);
  assert.equal(jobAfter(over, event("job.running", { attempt: 2 })), over);
  assert.equal(newer(over, JOB), over);
  assert.equal(newer(JOB, over), over);
  assert.equal(newer(running, JOB), running); // the order's answer, which came after its first event
  assert.equal(newer(waits, { ...running, attempts: 2 }).status, "running");
  assert.equal(jobAfter(JOB, event("job.failed", { credits: 0, error: { code: "c", message: "m" } })).error.code, "c");
  assert.equal(jobAfter(JOB, event("credits.granted")), JOB);
});

test("a filter means what the API's list means, newest first", () => {
  const jobs = [{ ...JOB, id: "a" }, JOB, { ...JOB, id: "c", status: "failed", labels: {} }];
  const ids = (filter) => matching(jobs, filter).map(({ id }) => id).join("");
  assert.deepEqual([ids({}), ids({ status: "failed" }), ids({ model: "x" }), ids({ label: "customer:a:b" })], ["cba", "c", "", "ba"]);
});

test("a server renders every hook without a window, a request or a timer", () => {
  const asked = [];
  function All() {
    const { jobs, loading } = useJobs();
    const { job } = useJob("x");
    useEvents(() => {});
    return [loading, jobs.length, String(job), String(useCredits()), useConnection().open, useGenerate("m").status].join(" ");
  }
  const client = { request: () => asked.push("request"), reach: () => asked.push("reach") };
  const html = renderToString(createElement(HeadraceProvider, { client }, createElement(All)));
  assert.equal(html, "true 0 undefined undefined false idle");
  assert.deepEqual(asked, []);
  assert.throws(() => renderToString(createElement(All)), /HeadraceProvider/);
});
