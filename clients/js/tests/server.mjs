// A server for bad days: each request is answered by the next of what a test has said, the last one for all that follow.
import { createServer } from "node:http";
import { once } from "node:events";

export async function badServer(...answers) {
  const requests = [];
  let at = 0;
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const seen = { method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(parts).toString() };
    requests.push(seen);
    await answers[Math.min(at++, answers.length - 1)](response, seen);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}`;
  return { url, requests, async [Symbol.asyncDispose]() { await this.close(); }, close: async () => {
    server.closeAllConnections();
    if (server.listening) await new Promise((closed) => server.close(closed));
  } };
}

export const json = (body, status = 200, headers = {}) => (response) =>
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));

export const problem = (status, code, more = {}, headers = {}) =>
  json({ type: `urn:headrace:problem:${code}`, title: code, status, detail: `${code}!`, code, param: null, retryable: false,
    request_id: "r", ...more }, status, headers);

/** The connection breaks before anything is said. */
export const cut = (response) => response.destroy();

/** A stream: these chunks, then `how` it goes on: "ends", "breaks" or "hangs". */
export const stream = (chunks, how) => async (response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const chunk of chunks) {
    response.write(chunk);
    await new Promise((sent) => setImmediate(sent));
  }
  if (how === "ends") response.end();
  if (how === "breaks") setTimeout(() => response.destroy(), 20);
};

export const frame = (number, type, data = {}, job = null) =>
  (number === null ? "" : `id: ${number}\n`) + `event: ${type}\ndata: ${JSON.stringify({ number, type, job_id: job, created_at: null, data })}\n\n`;

export async function eventually(check, what = "it") {
  for (let tries = 0; tries < 1000; tries++) {
    if (await check()) return;
    await new Promise((go) => setTimeout(go, 10));
  }
  throw new Error(`${what} did not happen`);
}
