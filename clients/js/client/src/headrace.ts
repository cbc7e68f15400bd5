/** The client: the API's resources by name, over typed requests. What is not here, `request` calls. */
import { Batches } from "./batches.js";
import { Connection, type ConnectionOptions, type StreamOptions } from "./connection.js";
import { BrokenDownloadError, errorOf, JobFailedError } from "./errors.js";
import { Holds, Payments, Subscriptions } from "./money.js";
import { Resource, type Query } from "./resource.js";
import type { CallOptions, HeadraceEvent, Job, JobRequest, Output, RequestOptions, Result, Schemas } from "./types.js";
import { backoff, deadline, pause, SILENCE_MS } from "./waiting.js";
import { verifyWebhook } from "./webhooks.js";

export type SubmitOptions = CallOptions & Omit<JobRequest, "model" | "input">;
export type Input = JobRequest["input"];

const ENDED = new Set(["succeeded", "failed", "canceled"]);
/** Whether nothing more happens to a job. */
export const isEnded = (job: Pick<Job, "status">): boolean => ENDED.has(job.status);

const WAIT_SECONDS = 50;

class Jobs extends Resource {
  /** Order a job. Sent again by itself where no answer comes: it is ordered and paid once. */
  submit(model: string, input: Input, { signal, headers, idempotencyKey, timeoutMs, ...order }: SubmitOptions = {}): Promise<Job> {
    const body = { model, input, ...order } as JobRequest;
    return this.api.request("POST", "/v1/jobs", { signal, headers, idempotencyKey, timeoutMs, body });
  }

  /** Order a job and wait for its results. Raises JobFailedError. */
  async run(model: string, input: Input, options: SubmitOptions = {}): Promise<Job> {
    const { id } = await this.submit(model, input, options);
    const job = await this.wait(id, options);
    if (job.status !== "succeeded") throw new JobFailedError(job);
    return job;
  }

  get(id: string, options: CallOptions = {}): Promise<Job> {
    return this.api.request("GET", "/v1/jobs/{job_id}", { ...options, path: { job_id: id } });
  }

  /** All of them, newest first, page by page as they are read. */
  list(query?: Query<"/v1/jobs">, options: CallOptions = {}): AsyncGenerator<Job, void> {
    return this.api.iterate("/v1/jobs", { ...options, query });
  }

  cancel(id: string, options: CallOptions = {}): Promise<Job> {
    return this.api.request("POST", "/v1/jobs/{job_id}/cancel", { ...options, path: { job_id: id } });
  }

  /** Order an ended job anew. */
  retry(id: string, options: CallOptions = {}): Promise<Job> {
    return this.api.request("POST", "/v1/jobs/{job_id}/retry", { ...options, path: { job_id: id } });
  }

  /** The job once it has ended, however. The API holds the answer back until then: nobody polls. */
  async wait(id: string, options: CallOptions = {}): Promise<Job> {
    for (;;) {
      const asked = Date.now();
      const headers = { ...options.headers, prefer: `wait=${WAIT_SECONDS}` };
      const job = await this.get(id, { ...options, headers, timeoutMs: (WAIT_SECONDS + 10) * 1000 });
      if (isEnded(job)) return job;
      // Answered at once where the account has all its streams open.
      if (Date.now() - asked < 1000) await pause(backoff(2), options.signal);
    }
  }

  /** The job, then what happens to it, text as it is written too; ends with the job. */
  async *stream(id: string, options: Omit<StreamOptions, "query"> = {}): AsyncGenerator<HeadraceEvent, void> {
    for await (const event of this.api.events(`/v1/jobs/${encodeURIComponent(id)}/events`, options)) {
      yield event;
      const status = event.type === "job" ? String(event.data["status"]) : event.type.replace("job.", "");
      if (ENDED.has(status)) return;
    }
  }
}

class Files extends Resource {
  /** Upload a picture, sound or film for the input of jobs: name its `id` there. What it is, its bytes say. */
  upload(file: Blob | ArrayBuffer | Uint8Array, { name, ...options }: CallOptions & { name?: string } = {}): Promise<Schemas["File"]> {
    const body = new FormData();
    const blob = file instanceof Blob ? file : new Blob([file as BlobPart]);
    body.append("file", blob, name ?? (file as Partial<File>).name ?? "file");
    return this.api.request("POST", "/v1/files", { timeoutMs: 0, ...options, body });
  }

  get(id: string, options: CallOptions = {}): Promise<Schemas["File"]> {
    return this.api.request("GET", "/v1/files/{file_id}", { ...options, path: { file_id: id } });
  }

  list(options: CallOptions = {}): AsyncGenerator<Schemas["File"], void> {
    return this.api.iterate("/v1/files", options);
  }

  async delete(id: string, options: CallOptions = {}): Promise<void> {
    await this.api.request("DELETE", "/v1/files/{file_id}", { ...options, path: { file_id: id } });
  }
}

class Outputs extends Resource {
  /** A result's bytes, whole and as they were stored (SHA-256). After a cut, or where nothing comes for `silenceMs`, it goes on where it was. */
  async download(
    output: Pick<Output, "url" | "sha256" | "media_type">, { signal, silenceMs = SILENCE_MS }: Pick<CallOptions, "signal"> & { silenceMs?: number } = {},
  ): Promise<Blob> {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    for (let tries = 0; ; tries++) {
      const silence = deadline(silenceMs, signal);
      try {
        const response = await fetch(output.url, { signal: silence.signal, ...(size ? { headers: { range: `bytes=${size}-` } } : {}) });
        if (!response.ok) throw await errorOf(response);
        if (response.status !== 206) size = parts.length = 0;
        const reader = response.body!.getReader();
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
          silence.renew();
          parts.push(part.value);
          size += part.value.length;
        }
        break;
      } catch (error) {
        signal?.throwIfAborted();
        if (tries >= 4 || (error as { retryable?: boolean }).retryable === false) throw error;
      } finally {
        silence.end();
      }
      await pause(backoff(tries), signal);
    }
    const blob = new Blob(parts, { type: output.media_type });
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
    const hex = Array.from(digest, (each) => each.toString(16).padStart(2, "0")).join("");
    if (hex !== output.sha256) throw new BrokenDownloadError("the result is not what the API has stored");
    return blob;
  }

  /** Keep a result until it is deleted. `index` is its place among the job's outputs. */
  keep(job: string, index: number, options: CallOptions = {}): Promise<Output> {
    return this.api.request("POST", "/v1/jobs/{job_id}/outputs/{index}/keep", { ...options, path: { job_id: job, index } });
  }

  letGo(job: string, index: number, options: CallOptions = {}): Promise<Output> {
    return this.api.request("DELETE", "/v1/jobs/{job_id}/outputs/{index}/keep", { ...options, path: { job_id: job, index } });
  }

  async delete(job: string, index: number, options: CallOptions = {}): Promise<void> {
    await this.api.request("DELETE", "/v1/jobs/{job_id}/outputs/{index}", { ...options, path: { job_id: job, index } });
  }
}

class CreditsOf extends Resource {
  get(options: CallOptions = {}): Promise<Schemas["Credits"]> {
    return this.api.request("GET", "/v1/credits", options);
  }

  /** Every movement of credits, newest first. */
  entries(options: CallOptions = {}): AsyncGenerator<Schemas["Entry"], void> {
    return this.api.iterate("/v1/credits/entries", options);
  }
}

class Models extends Resource {
  list(options: CallOptions = {}): AsyncGenerator<Schemas["Model"], void> {
    return this.api.iterate("/v1/models", options);
  }

  get(id: string, options: CallOptions = {}): Promise<Schemas["Model"]> {
    return this.api.request("GET", "/v1/models/{model_id}", { ...options, path: { model_id: id } });
  }
}

type Kind = "images" | "videos" | "sounds";

class Gallery extends Resource {
  list<K extends Kind>(kind: K, query?: Query<`/v1/${K}`>, options: CallOptions = {}): AsyncGenerator<Schemas["Item"], void> {
    return this.api.iterate(`/v1/${kind}` as "/v1/images", { ...options, query: query as Query<"/v1/images"> });
  }

  search<K extends Kind>(kind: K, query: Query<`/v1/search/${K}`>, options: CallOptions = {}): AsyncGenerator<Schemas["Item"], void> {
    return this.api.iterate(`/v1/search/${kind}` as "/v1/search/images", { ...options, query: query as never });
  }

  get(kind: Kind, id: string, options: CallOptions = {}): Promise<Schemas["Item"]> {
    return this.api.request("GET", `/v1/${kind}/{item_id}` as "/v1/images/{item_id}", { ...options, path: { item_id: id } });
  }

  update(
    kind: Kind, id: string, body: RequestOptions<"PATCH", "/v1/images/{item_id}">["body"], options: CallOptions = {},
  ): Promise<Schemas["Item"]> {
    return this.api.request("PATCH", `/v1/${kind}/{item_id}` as "/v1/images/{item_id}", { ...options, path: { item_id: id }, body });
  }

  like(kind: Kind, id: string, liked = true, options: CallOptions = {}): Promise<Schemas["Item"]> {
    const path = `/v1/${kind}/{item_id}/like` as "/v1/images/{item_id}/like";
    return this.api.request(liked ? "PUT" : "DELETE", path, { ...options, path: { item_id: id } });
  }
}

class Collections extends Resource {
  create(body: Schemas["CollectionRequest"], options: CallOptions = {}): Promise<Schemas["Collection"]> {
    return this.api.request("POST", "/v1/collections", { ...options, body });
  }

  get(id: string, options: CallOptions = {}): Promise<Schemas["Collection"]> {
    return this.api.request("GET", "/v1/collections/{collection_id}", { ...options, path: { collection_id: id } });
  }

  list(query?: Query<"/v1/collections">, options: CallOptions = {}): AsyncGenerator<Schemas["Collection"], void> {
    return this.api.iterate("/v1/collections", { ...options, query });
  }

  items(id: string, options: CallOptions = {}): AsyncGenerator<Schemas["Item"], void> {
    return this.api.iterate("/v1/collections/{collection_id}/items", { ...options, path: { collection_id: id } });
  }

  add(id: string, items: string[], options: CallOptions = {}): Promise<Schemas["Changed"]> {
    return this.api.request("POST", "/v1/collections/{collection_id}/items", { ...options, path: { collection_id: id }, body: { items } });
  }

  remove(id: string, items: string[], options: CallOptions = {}): Promise<Schemas["Changed"]> {
    const path = "/v1/collections/{collection_id}/items/remove";
    return this.api.request("POST", path, { ...options, path: { collection_id: id }, body: { items } });
  }

  /** A link that shows the collection to whoever has it. */
  share(id: string, body: Schemas["LinkRequest"] = {}, options: CallOptions = {}): Promise<Schemas["NewLink"]> {
    return this.api.request("POST", "/v1/collections/{collection_id}/links", { ...options, path: { collection_id: id }, body });
  }

  async delete(id: string, options: CallOptions = {}): Promise<void> {
    await this.api.request("DELETE", "/v1/collections/{collection_id}", { ...options, path: { collection_id: id } });
  }
}

class Notifications extends Resource {
  list(query?: Query<"/v1/notifications">, options: CallOptions = {}): AsyncGenerator<Schemas["Notification"], void> {
    return this.api.iterate("/v1/notifications", { ...options, query });
  }

  async unread(options: CallOptions = {}): Promise<number> {
    return (await this.api.request("GET", "/v1/notifications/unread", options)).count;
  }

  async read(id?: string, options: CallOptions = {}): Promise<void> {
    if (id === undefined) await this.api.request("POST", "/v1/notifications/read", options);
    else await this.api.request("POST", "/v1/notifications/{notification_id}/read", { ...options, path: { notification_id: id } });
  }
}

class Webhooks extends Resource {
  create(body: RequestOptions<"POST", "/v1/webhooks">["body"], options: CallOptions = {}): Promise<Result<"POST", "/v1/webhooks">> {
    return this.api.request("POST", "/v1/webhooks", { ...options, body });
  }

  list(options: CallOptions = {}): AsyncGenerator<Schemas["Webhook"], void> {
    return this.api.iterate("/v1/webhooks", options);
  }

  async delete(id: string, options: CallOptions = {}): Promise<void> {
    await this.api.request("DELETE", "/v1/webhooks/{webhook_id}", { ...options, path: { webhook_id: id } });
  }

  /** What arrived, if it is from the API. Raises WebhookError. */
  verify = verifyWebhook;
}

class Tokens extends Resource {
  /** A part of what you may do, for minutes: for a page in a browser. Answer its `getToken` with this. */
  create(body: Schemas["WantedToken"], options: CallOptions = {}): Promise<Result<"POST", "/v1/tokens">> {
    return this.api.request("POST", "/v1/tokens", { ...options, body });
  }

  async revoke(id: string, options: CallOptions = {}): Promise<void> {
    await this.api.request("DELETE", "/v1/tokens/{token_id}", { ...options, path: { token_id: id } });
  }
}

/** Everything that Headrace does. `url` and one of `key` (servers), `token` or `getToken` (browsers). */
export class Headrace extends Connection {
  readonly jobs = new Jobs(this);
  readonly batches = new Batches(this);
  readonly files = new Files(this);
  readonly outputs = new Outputs(this);
  readonly credits = new CreditsOf(this);
  readonly holds = new Holds(this);
  readonly payments = new Payments(this);
  readonly subscription = new Subscriptions(this);
  readonly models = new Models(this);
  readonly gallery = new Gallery(this);
  readonly collections = new Collections(this);
  readonly notifications = new Notifications(this);
  readonly webhooks = new Webhooks(this);
  readonly tokens = new Tokens(this);

  constructor(options: ConnectionOptions) {
    super(options);
  }

  /** What a job would cost, before it is ordered. */
  quote(model: string, input: Input, options: CallOptions = {}): Promise<Schemas["Quote"]> {
    return this.request("POST", "/v1/quotes", { ...options, body: { model, input } });
  }

  /** What was used, by day, model or label. */
  usage(query?: Omit<NonNullable<Query<"/v1/usage">>, "format">, options: CallOptions = {}): Promise<Schemas["UsageTable"]> {
    return this.request("GET", "/v1/usage", { ...options, query });
  }
}
