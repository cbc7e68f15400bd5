/** What a page knows of its account: a snapshot first, then every change. One for all hooks, and one stream for all tabs. */
import { backoff, type Connection, type Credits, type HeadraceEvent, type Job, pause } from "@headrace/client";
import { ended, jobAfter, newer } from "./changes.js";
import { joinTabs, type Tabs } from "./tabs.js";

interface Snapshot {
  data: Job[];
  next: string | null;
  credits: Credits | null; // a token for one job or model sees none
}

type Message =
  | { kind: "event"; event: HeadraceEvent; before: number | undefined }
  | { kind: "state"; state: Snapshot; last: number | undefined; open: boolean }
  | { kind: "jobs"; jobs: Job[] }
  | { kind: "hello" };

const LINGER_MS = 1000; // after the last hook: another page of the product may come at once
const SILENCE_MS = 40_000; // by the wall clock, which a sleeping machine's timers do not follow
const LOOK_MS = 10_000;
const GATHER_MS = 100; // jobs of which something was heard are read together
const PAGE = 100;
const ALONE = 5; // so many are read one by one; more, with the pages of the list that have them
const MOST_PAGES = 20;
const MOST_JOBS = 5000; // kept; ended ones go first
const nothing = () => {};

export class Hub {
  readonly jobs = new Map<string, Job>();
  readonly errors = new Map<string, Error>();
  credits: Credits | undefined;
  /** Whether the snapshot has come. */
  ready = false;
  open = false;
  error: Error | undefined;
  next: string | null = null;
  /** Another number: something has changed. */
  version = 0;

  #last: number | undefined;
  #life = 0;
  #asleep = false;
  #listeners = new Set<() => void>();
  #handlers = new Set<(event: HeadraceEvent) => void>();
  #users = 0;
  #tabs: Tabs | undefined;
  #stop: AbortController | undefined;
  #go: AbortController | undefined;
  #telling: ReturnType<typeof setTimeout> | undefined;
  #reading: ReturnType<typeof setTimeout> | undefined;
  #wanted = new Set<string>();
  #needed = new Map<string, Promise<void>>();

  /** `session` names whom the tabs that share a stream are for, where tokens do not. */
  constructor(readonly api: Connection, readonly session?: string) {}

  /** Be told of changes; the stream is open while anybody is. */
  subscribe = (listener: () => void): (() => void) => this.#use(this.#listeners, listener);

  /** Hear each event, in its order. */
  hear = (handler: (event: HeadraceEvent) => void): (() => void) => this.#use(this.#handlers, handler);

  /** Jobs as the API has answered, for all tabs. */
  put(...jobs: Job[]): void {
    this.#take(jobs);
    this.#tell({ kind: "jobs", jobs });
  }

  /** Read a job that no snapshot had. */
  need(id: string): Promise<void> {
    const asked = this.#needed.get(id) ?? this.api.request("GET", "/v1/jobs/{job_id}", { path: { job_id: id } }).then(
      (job) => (this.errors.delete(id), this.put(job)),
      (error: Error) => (this.errors.set(id, error), this.#changed()),
    ).finally(() => this.#needed.delete(id));
    this.#needed.set(id, asked);
    return asked;
  }

  #use<T>(set: Set<T>, member: T): () => void {
    set.add(member);
    if (!this.#users++) void this.#start();
    return () => {
      if (!set.delete(member)) return;
      if (!--this.#users) setTimeout(() => this.#users || this.#end(), LINGER_MS);
    };
  }

  // The stream, and the other tabs

  async #start(): Promise<void> {
    if (this.#stop) return;
    const { signal } = (this.#stop = new AbortController());
    this.#listen(signal);
    let name = this.session;
    for (let tries = 0; name === undefined && !signal.aborted; tries++) {
      try {
        name = await this.api.reach();
        break;
      } catch (error) {
        this.#fail(error);
        await pause(backoff(tries), (this.#go = new AbortController()).signal).catch(nothing);
      }
    }
    if (signal.aborted) return;
    this.#tabs = joinTabs(name && `headrace:${this.api.url}:${name}`, {
      lead: (turn) => this.#lead(turn),
      alive: () => this.#alive(),
      follow: () => this.#tell({ kind: "hello" }),
      hear: (message) => this.#told(message as Message),
    });
  }

  #end(): void {
    this.#stop?.abort();
    this.#go?.abort();
    this.#tabs?.end();
    clearTimeout(this.#reading);
    this.#stop = this.#tabs = this.#reading = undefined;
    this.#wanted.clear();
    this.open = false;
  }

  #listen(signal: AbortSignal): void {
    const on = (target: EventTarget | undefined, names: string, act: () => void) => {
      for (const name of names.split(" ")) target?.addEventListener(name, act, { signal });
    };
    const look = () => this.#tabs?.leads() && !this.#alive() && this.#again();
    on(globalThis.window, "online", () => this.#again());
    on(globalThis.window, "pageshow", () => this.#wake());
    on(globalThis.window, "pagehide", () => this.#sleep());
    on(globalThis.document, "resume", () => this.#wake());
    on(globalThis.document, "freeze", () => this.#sleep());
    on(globalThis.document, "visibilitychange", look);
    const clock = setInterval(look, LOOK_MS);
    signal.addEventListener("abort", () => clearInterval(clock));
  }

  #alive(): boolean {
    return Date.now() - this.#life < SILENCE_MS;
  }

  #sleep(): void {
    this.#asleep = true;
    this.#tabs?.sleep();
    this.#go?.abort();
  }

  #wake(): void {
    if (!this.#asleep) return; // a page is also shown when it is loaded
    this.#asleep = false;
    this.#tabs?.wake();
    this.#again();
  }

  /** Whatever the line is: go on with a new one, from the last event that is known. */
  #again(): void {
    this.#life = Date.now();
    this.#go?.abort();
    if (!this.#tabs?.leads()) this.#tell({ kind: "hello" });
  }

  async #lead(turn: AbortSignal): Promise<void> {
    turn.addEventListener("abort", () => this.#go?.abort(), { once: true });
    if (this.#wanted.size) this.#readSoon(GATHER_MS); // what the tab that led before had not read yet
    while (!turn.aborted) {
      const { signal } = (this.#go = new AbortController());
      this.#life = Date.now();
      try {
        const stream = this.api.events("/v1/events", {
          query: { snapshot: "jobs", limit: PAGE }, after: this.#last, signal,
          onLife: () => (this.#life = Date.now()), onState: (open, error) => ((this.#life = Date.now()), this.#opened(open, error as Error)),
        });
        for await (const event of stream) if (!turn.aborted) this.#happened(event);
      } catch (error) {
        this.#fail(error);
      }
      if (!signal.aborted) await pause(backoff(5), signal).catch(nothing);
    }
  }

  #happened(event: HeadraceEvent): void {
    const before = this.#last;
    if (event.type === "reset") {
      this.#last = undefined; // what was missed is not kept any more: begin with another snapshot
      this.#go?.abort();
      return;
    }
    if (event.type === "snapshot") this.#replace(event.data as Snapshot);
    this.#hear(event);
    if (event.type === "snapshot") this.#tellAll();
    else this.#tell({ kind: "event", event, before });
  }

  #tell(message: Message): void {
    this.#tabs?.tell(message);
  }

  #tellAll(): void {
    const { next, credits = null } = this;
    if (this.ready) this.#tell({ kind: "state", state: { data: [...this.jobs.values()], next, credits }, last: this.#last, open: this.open });
  }

  #told(message: Message): void {
    if (message.kind === "jobs") return this.#take(message.jobs);
    if (this.#tabs?.leads()) return message.kind === "hello" ? this.#tellAll() : undefined;
    if (message.kind === "state" && (message.last ?? 0) >= (this.#last ?? 0)) {
      this.#last = message.last;
      this.#replace(message.state);
      this.#opened(message.open);
    } else if (message.kind === "event") {
      if (message.before === this.#last) this.#hear(message.event);
      else if (message.event.number === null || message.event.number > (this.#last ?? 0)) this.#tell({ kind: "hello" });
    }
  }

  // What is known

  #hear(event: HeadraceEvent): void {
    if (event.number !== null) this.#last = event.number;
    const { job_id: id, data } = event;
    const job = id && this.jobs.get(id);
    const now = job && jobAfter(job, event);
    if (now && now !== job) this.jobs.set(id, now);
    // An order's input, and the checksums of results, are in no event: the job is read.
    if (id && (now ? now !== job && ended(now) : event.number !== null)) this.#want(id);
    if (event.type === "assets.deleted") this.#want(data["job"]);
    if (this.credits && "available" in data)
      this.credits = { ...this.credits, available: data["available"], reserved: data["reserved"] ?? this.credits.reserved };
    for (const handler of [...this.#handlers]) handler(event);
    this.#changed();
  }

  #replace({ data, next, credits }: Snapshot): void {
    this.jobs.clear();
    this.#wanted.clear();
    this.next = next;
    this.credits = credits ?? undefined;
    this.ready = true;
    this.#take(data);
  }

  #take(jobs: Job[]): void {
    for (const job of jobs) {
      this.jobs.set(job.id, newer(this.jobs.get(job.id), job));
      if (ended(job)) this.#wanted.delete(job.id);
    }
    if (this.jobs.size > MOST_JOBS)
      for (const [id, job] of this.jobs) if (ended(job) && this.jobs.size > MOST_JOBS) this.jobs.delete(id);
    this.#changed();
  }

  #want(id: string): void {
    this.#wanted.add(id);
    if (this.#tabs?.leads()) this.#readSoon(GATHER_MS); // the tab that has the stream reads for all
  }

  #readSoon(milliseconds: number): void {
    this.#reading ??= setTimeout(() => void this.#read(), milliseconds);
  }

  async #read(): Promise<void> {
    const ids = new Set(this.#wanted);
    this.#wanted.clear();
    const { api } = this;
    const found = (jobs: Job[]) => {
      this.put(...jobs.filter((job) => ids.has(job.id)));
      for (const { id } of jobs) ids.delete(id);
    };
    try {
      let cursor: string | undefined;
      for (let page = 0; ids.size > ALONE && page < MOST_PAGES; page++) {
        const { data, next } = await api.request("GET", "/v1/jobs", { query: { limit: PAGE, cursor } });
        found(data);
        if (!next) break;
        cursor = next;
      }
      for (const id of [...ids].slice(0, PAGE)) await this.need(id);
    } catch {
      for (const id of ids) this.#wanted.add(id);
    }
    this.#reading = undefined;
    if (this.#tabs?.leads() && this.#wanted.size) this.#readSoon(10 * GATHER_MS);
  }

  #opened(open: boolean, error?: Error): void {
    if (open || error) this.error = error;
    this.open = open;
    this.#changed();
  }

  #fail(error: unknown): void {
    this.error = error as Error;
    this.#changed();
  }

  /** Tell the hooks, once for all that comes together. */
  #changed(): void {
    this.version++;
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      for (const listener of [...this.#listeners]) listener();
    });
  }
}
