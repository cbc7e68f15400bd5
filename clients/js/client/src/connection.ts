/** The way to the API: who asks, tries that are safe to repeat, lists, streams that go on where they were. */
import { errorOf, HeadraceError, NotAuthenticatedError, UnreachableError } from "./errors.js";
import { frameReader } from "./frames.js";
import { backoff, type Deadline, deadline, pause, SILENCE_MS } from "./waiting.js";
import type {
  CallOptions, HeadraceEvent, ItemOf, ListPath, MaybeOptions, Method, PathFor, RequestOptions, Result,
} from "./types.js";

/** What speaks for somebody: a token alone, or what POST /v1/tokens answers, which is renewed before it ends. */
export type Token = string | { token: string; expires_at?: string; account?: string; job?: string | null; model?: string | null };

export interface ConnectionOptions {
  /** Where the API is; in a page that the API serves itself, nothing. */
  url?: string;
  /** An API key: on servers only. */
  key?: string | undefined;
  /** A token that is not renewed. */
  token?: string | undefined;
  /** Asks your server for a token; called again when it is about to end, or is refused. */
  getToken?: (() => Token | Promise<Token>) | undefined;
  fetch?: typeof fetch | undefined;
  /** Further tries of a request that may be repeated (4). */
  retries?: number | undefined;
  timeoutMs?: number | undefined;
}

export interface StreamOptions {
  query?: Record<string, string | number | undefined> | undefined;
  /** The number of the last event that you know. */
  after?: number | undefined;
  signal?: AbortSignal | undefined;
  /** The line is dead when nothing comes for so long: the API says something every 15 s. */
  silenceMs?: number | undefined;
  /** Called when the stream is open (again), and when it is not, with what went wrong. */
  onState?: ((open: boolean, error?: unknown) => void) | undefined;
  /** Called with whatever comes, heartbeats too. */
  onLife?: (() => void) | undefined;
}

interface Sent extends CallOptions {
  path?: Record<string, unknown> | undefined;
  query?: Record<string, unknown> | undefined;
  body?: unknown;
}

const LONGEST_WAIT_SECONDS = 60; // who is asked to wait longer is told so
const EARLY_MS = 30_000; // before its end a token is renewed

/** Calls of every path of the API, typed by its document. */
export class Connection {
  readonly url: string;
  #options: ConnectionOptions;
  #held: { got: number; value: Promise<Exclude<Token, string>> } | undefined;

  constructor(options: ConnectionOptions = {}) {
    this.url = (options.url ?? "").replace(/\/+$/, "");
    this.#options = options;
  }

  /** Call a path of the document; what it answers, parsed. Raises HeadraceError. */
  async request<M extends Method, P extends PathFor<M>>(
    method: M, path: P, ...[options]: MaybeOptions<RequestOptions<M, P>>
  ): Promise<Result<M, P>> {
    const sent = (options ?? {}) as Sent;
    return this.#repeat(method, path, sent, async (response) => {
      if (response.status === 204) return undefined;
      const json = /^application\/json\b/.test(response.headers.get("content-type") ?? ""); // lines of JSON are text
      return json ? response.json() : response.text();
    }) as Promise<Result<M, P>>;
  }

  /** Everything of a list, a page at a time as it is needed. */
  async *iterate<P extends ListPath>(path: P, ...[options]: MaybeOptions<RequestOptions<"GET", P>>): AsyncGenerator<ItemOf<P>, void> {
    let cursor: string | null | undefined;
    do {
      const sent = (options ?? {}) as Sent;
      const query = { ...sent.query, ...(cursor ? { cursor } : {}) };
      const page = (await this.request("GET", path, ...([{ ...sent, query }] as never))) as { data: ItemOf<P>[]; next: string | null };
      yield* page.data;
      cursor = page.next;
    } while (cursor);
  }

  /** What happens, as it happens: goes on after a cut, silence or restart where it was, without a gap or a repeat. */
  async *events(path: string, options: StreamOptions = {}): AsyncGenerator<HeadraceEvent, void> {
    const { signal, silenceMs = SILENCE_MS, onState, onLife } = options;
    let last = options.after;
    let tries = 0;
    while (!signal?.aborted) {
      const silence = deadline(silenceMs, signal);
      let wait: number | undefined;
      let trouble: unknown;
      try {
        const headers = { accept: "text/event-stream", ...(last === undefined ? {} : { "last-event-id": `${last}` }) };
        const response = await this.#once("GET", path, { query: options.query, headers }, silence.signal);
        if (response.status === 204 || !response.body) return;
        onState?.(true);
        const read = frameReader();
        const reader = response.body.getReader();
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
          silence.renew();
          onLife?.();
          for (const frame of read(part.value)) {
            tries = 0;
            if (frame.id) last = +frame.id;
            if (frame.data) yield JSON.parse(frame.data) as HeadraceEvent; // else only where to go on
          }
        }
      } catch (error) {
        if (signal?.aborted) return;
        trouble = error;
        if (error instanceof HeadraceError) {
          if (!error.retryable) throw error;
          wait = error.retryAfter;
        }
      } finally {
        silence.end();
        onState?.(false, trouble);
      }
      await pause(Math.max((wait ?? 0) * 1000, backoff(tries++)), signal).catch(() => undefined);
    }
  }

  /** For whom the token in use is, and how far it reaches, where whoever gave it says so: equal for those who see the same. */
  async reach(): Promise<string | undefined> {
    const { account, job, model } = this.#options.getToken ? await this.#token() : ({} as { account?: string; job?: string; model?: string });
    return account && [account, job, model].join(":");
  }

  /** The answer as it comes, for what is no JSON. Tried again as every call. Raises HeadraceError. */
  send(method: Method, path: string, options: Sent = {}): Promise<Response> {
    return this.#repeat(method, path, options, (response, limit) => (limit.rest(), response));
  }

  async #repeat<T>(
    method: Method, path: string, options: Sent, take: (response: Response, limit: Deadline) => T | Promise<T>,
  ): Promise<T> {
    const headers = { ...options.headers };
    if (method === "POST") headers["idempotency-key"] ??= options.idempotencyKey ?? crypto.randomUUID();
    // What makes something under /v1 takes the key, and the rest of it does the same twice (tests/clients_js holds the list).
    const repeatable = method !== "POST" || path.startsWith("/v1/");
    const retries = repeatable ? (this.#options.retries ?? 4) : 0;
    for (let tries = 0; ; tries++) {
      const limit = deadline(options.timeoutMs ?? this.#options.timeoutMs ?? 60_000, options.signal);
      try {
        const taken = await take(await this.#once(method, path, { ...options, headers }, limit.signal), limit);
        limit.rest();
        return taken;
      } catch (error) {
        limit.end();
        options.signal?.throwIfAborted();
        const told = error instanceof HeadraceError ? error : new UnreachableError(error);
        const wait = told.retryAfter ?? 0;
        if (tries >= retries || !told.retryable || wait > LONGEST_WAIT_SECONDS) throw told;
        await pause(wait * 1000 + backoff(tries), options.signal);
      }
    }
  }

  /** One try, and a second one where the token was refused. */
  async #once(method: Method, path: string, sent: Sent, signal: AbortSignal): Promise<Response> {
    const { key, token, getToken } = this.#options;
    let refused: string | undefined;
    for (;;) {
      const bearer = getToken ? (await this.#token(refused)).token : (key ?? token);
      const response = await this.#fetch(method, path, sent, signal, bearer);
      if (response.ok) return response;
      const error = await errorOf(response);
      if (!(error instanceof NotAuthenticatedError) || !getToken || refused !== undefined) throw error;
      refused = bearer;
    }
  }

  #fetch(method: Method, path: string, { path: values, query, body, headers }: Sent, signal: AbortSignal, bearer?: string): Promise<Response> {
    const place = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(values?.[name])));
    const asked = new URLSearchParams();
    for (const [name, value] of Object.entries(query ?? {})) if (value != null) asked.append(name, String(value));
    const raw = typeof body === "string" || body instanceof FormData || body instanceof Blob || ArrayBuffer.isView(body);
    return (this.#options.fetch ?? fetch)(this.url + place + (asked.size ? `?${asked}` : ""), {
      method, signal, cache: "no-store", credentials: "omit",
      headers: {
        ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
        ...(body === undefined || raw ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: raw ? (body as BodyInit) : JSON.stringify(body) }),
    });
  }

  /** The token in use; a new one where there is none, it ends soon, or it is the one that was refused. */
  async #token(refused?: string): Promise<Exclude<Token, string>> {
    const held = this.#held;
    if (held) {
      const value = await held.value;
      const age = Date.now() - held.got;
      // A clock that is wrong would renew for each request: a token that has just come is believed.
      const ends = age > EARLY_MS && value.expires_at !== undefined && Date.parse(value.expires_at) - Date.now() < EARLY_MS;
      if (!ends && value.token !== refused) return value;
    }
    if (this.#held === held) {
      const asked = { got: Date.now(), value: this.#ask() };
      this.#held = asked;
      asked.value.catch(() => {
        if (this.#held === asked) this.#held = undefined;
      });
    }
    return this.#held!.value;
  }

  async #ask(): Promise<Exclude<Token, string>> {
    const told = await this.#options.getToken!();
    return typeof told === "string" ? { token: told } : told;
  }
}
