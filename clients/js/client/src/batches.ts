/** Thousands of jobs in one call. */
import { HeadraceError } from "./errors.js";
import { lineReader } from "./frames.js";
import { Resource } from "./resource.js";
import type { CallOptions, JobRequest, Output, Result, Schemas } from "./types.js";
import { backoff, deadline, pause, SILENCE_MS } from "./waiting.js";

/** An order of a batch; by `custom_id` you find its result. */
export type BatchOrder = Partial<JobRequest> & Pick<JobRequest, "model" | "input"> & { custom_id?: string };

/** What became of an order. `status` is "refused" where nothing was ordered. */
export interface BatchResult {
  number: number;
  custom_id: string | null;
  job: string | null;
  status: string;
  model: string | null;
  credits: Schemas["Job"]["credits"] | null;
  outputs: Output[];
  error: Schemas["Job"]["error"];
}

type Batch = Schemas["Batch"];

const LOOK_MS = 2000;
const MOST_TRIES = 4; // without a line

export class Batches extends Resource {
  /** Order up to 10,000 jobs: all of them or none, or with `accept: "valid"` those that can be ordered. */
  create(
    orders: Iterable<BatchOrder>,
    { accept, maxRunning, ...options }: CallOptions & { accept?: "all" | "valid"; maxRunning?: number } = {},
  ): Promise<Result<"POST", "/v1/batches">> {
    const body = Array.from(orders, (order) => JSON.stringify(order) + "\n").join("");
    const headers = { ...options.headers, "content-type": "application/x-ndjson" };
    return this.api.request("POST", "/v1/batches", { ...options, headers, query: { accept, max_running: maxRunning }, body });
  }

  get(id: string, options: CallOptions = {}): Promise<Batch> {
    return this.api.request("GET", "/v1/batches/{batch_id}", { ...options, path: { batch_id: id } });
  }

  list(options: CallOptions = {}): AsyncGenerator<Batch, void> {
    return this.api.iterate("/v1/batches", options);
  }

  /** Cancel what has not ended. */
  cancel(id: string, options: CallOptions = {}): Promise<Batch> {
    return this.api.request("POST", "/v1/batches/{batch_id}/cancel", { ...options, path: { batch_id: id } });
  }

  /** The batch once all of its jobs have ended, however. */
  async wait(id: string, options: CallOptions = {}): Promise<Batch> {
    for (;;) {
      const batch = await this.get(id, options);
      if (batch.ended_at !== null) return batch;
      await pause(LOOK_MS, options.signal);
    }
  }

  /**
   * What has ended, in the order of the batch, as it comes; `all`: the rest too. After a cut, or where nothing comes for `silenceMs`, it goes on
   * behind the last line.
   */
  async *results(
    id: string, { after, all, signal, silenceMs = SILENCE_MS }: { after?: number; all?: boolean; signal?: AbortSignal; silenceMs?: number } = {},
  ): AsyncGenerator<BatchResult, void> {
    let last = after;
    for (let tries = 0; ; ) {
      const silence = deadline(silenceMs, signal);
      try {
        const response = await this.api.send("GET", "/v1/batches/{batch_id}/results", {
          path: { batch_id: id }, query: { after: last, all }, signal: silence.signal, timeoutMs: 0,
        });
        const read = lineReader();
        const reader = response.body!.getReader();
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
          silence.renew();
          for (const line of read(part.value)) {
            const result = JSON.parse(line) as BatchResult;
            last = result.number;
            tries = 0;
            yield result;
          }
        }
        return;
      } catch (error) {
        signal?.throwIfAborted();
        // A refusal was tried again where that may help; a line that is none is no cut.
        if (error instanceof HeadraceError || error instanceof SyntaxError || tries >= MOST_TRIES) throw error;
      } finally {
        silence.end(); // whoever stops reading holds no line open
      }
      await pause(backoff(tries++), signal);
    }
  }
}
