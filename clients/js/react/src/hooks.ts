/** The hooks. */
import {
  Connection, type Credits, type HeadraceEvent, type Input, type Job, type JobRequest, type Quote, type Token,
} from "@headrace/client";
import {
  createContext, createElement, type ReactElement, type ReactNode, useCallback, useContext, useEffect, useMemo, useRef, useState,
  useSyncExternalStore,
} from "react";
import { type JobFilter, matching } from "./changes.js";
import { Hub } from "./hub.js";

export interface ProviderProps {
  /** Where the API is; nothing where it serves the page itself. */
  url?: string;
  /** Asks your server for a token (POST /v1/tokens). Called again when one ends. */
  getToken?: () => Token | Promise<Token>;
  /** Whose tabs share one stream, where getToken's answer has no `account`. */
  session?: string;
  /** A connection of your own instead, such as a `Headrace`. */
  client?: Connection;
  children?: ReactNode;
}

const Place = createContext<Hub | undefined>(undefined);

/** All hooks below it share one stream. Give it another `key` when another user signs in. */
export function HeadraceProvider({ url, getToken, session, client, children }: ProviderProps): ReactElement {
  const latest = useRef(getToken);
  useEffect(() => void (latest.current = getToken));
  const asks = !!getToken;
  const hub = useMemo(
    () => new Hub(client ?? new Connection({ url: url ?? "", getToken: asks ? () => latest.current!() : undefined }), session),
    [url, session, client, asks],
  );
  return createElement(Place.Provider, { value: hub }, children);
}

function useHub(): Hub {
  const hub = useContext(Place);
  if (!hub) throw new Error("this hook needs a <HeadraceProvider> above it");
  return hub;
}

/** A value of the hub's, as it is now; on a server and while the page is hydrated, nothing. */
function useKnown<T>(read: (hub: Hub) => T, nothing: T): T {
  const hub = useHub();
  return useSyncExternalStore(hub.subscribe, () => read(hub), () => nothing);
}

/** The connection itself, for every other call: `useHeadrace().request("GET", "/v1/models")`. */
export const useHeadrace = (): Connection => useHub().api;

/** Whether changes are heard just now, and why not. */
export function useConnection(): { open: boolean; error: Error | undefined } {
  const open = useKnown((hub) => hub.open, false);
  const error = useKnown((hub) => hub.error, undefined);
  return { open, error };
}

/** The balance and plan; undefined until they are known. */
export const useCredits = (): Credits | undefined => useKnown((hub) => hub.credits, undefined);

/** A job, whatever happens to it. */
export function useJob(id: string | null | undefined): { job: Job | undefined; loading: boolean; error: Error | undefined } {
  const hub = useHub();
  const job = useKnown(({ jobs }) => (id ? jobs.get(id) : undefined), undefined);
  const error = useKnown(({ errors }) => (id ? errors.get(id) : undefined), undefined);
  const missing = useKnown(({ ready, jobs }) => !!id && ready && !jobs.has(id), false);
  useEffect(() => {
    if (id && missing) void hub.need(id);
  }, [hub, id, missing]);
  return { job, loading: !!id && !job && !error, error };
}

/** The jobs that a filter means, newest first: the newest hundred, all that come, and older ones as they are asked for. */
export function useJobs(filter: JobFilter = {}): {
  jobs: Job[]; loading: boolean; error: Error | undefined; hasMore: boolean; loadMore: () => Promise<void>;
} {
  const hub = useHub();
  const { status, model, label } = filter;
  const version = useKnown((known) => known.version, -1);
  const shown = useRef<Job[]>([]);
  const jobs = useMemo(() => {
    const found = version < 0 ? [] : matching(hub.jobs.values(), { status, model, label } as JobFilter);
    const same = found.length === shown.current.length && found.every((job, at) => job === shown.current[at]);
    return same ? shown.current : found;
  }, [hub, version, status, model, label]);
  useEffect(() => void (shown.current = jobs), [jobs]);

  const all = !status && !model && !label;
  const place = JSON.stringify([status, model, label]);
  const [read, setRead] = useState<{ place: string; next: string | null }>();
  const next = read?.place === place ? read.next : hub.next;
  const cursor = read?.place === place || all ? next : null;
  const loadMore = useCallback(async () => {
    const query = { status, model, label, limit: 100, cursor };
    const page = await hub.api.request("GET", "/v1/jobs", { query });
    hub.put(...page.data);
    setRead({ place, next: page.next });
  }, [hub, place, cursor]);
  return { jobs, loading: version < 0 || !hub.ready, error: hub.error, hasMore: next !== null, loadMore };
}

/** Each event as it comes, of these types (all). Only what comes: what was before is in the other hooks. */
export function useEvents(handler: (event: HeadraceEvent) => void, filter: { types?: string[]; job?: string } = {}): void {
  const hub = useHub();
  const latest = useRef({ handler, filter });
  useEffect(() => void (latest.current = { handler, filter }));
  useEffect(
    () =>
      hub.hear((event) => {
        const { types, job } = latest.current.filter;
        if ((!types || types.includes(event.type)) && (!job || event.job_id === job)) latest.current.handler(event);
      }),
    [hub],
  );
}

export interface Generation {
  status: "idle" | "submitting" | Job["status"];
  job: Job | undefined;
  /** Why it was not ordered; why a job failed is in `job.error`. */
  error: Error | undefined;
  /** The answer to the last `price`. */
  quote: Quote | undefined;
  /** Order; answered with the job as it was accepted. */
  submit: (input: Input, options?: Omit<JobRequest, "model" | "input">) => Promise<Job>;
  cancel: () => Promise<void>;
  /** What an order would cost. A later question's answer is never replaced by an earlier one's. */
  price: (input: Input) => Promise<Quote>;
  reset: () => void;
}

/** Order from one model, and watch what becomes of it. */
export function useGenerate(model: string): Generation {
  const hub = useHub();
  const { api } = hub;
  const [id, setId] = useState<string>();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const [quote, setQuote] = useState<Quote>();
  const { job } = useJob(id);
  const order = useRef<Promise<Job>>(undefined);
  const asked = useRef(0);

  const submit = useCallback<Generation["submit"]>(
    async (input, options) => {
      setBusy(true);
      setError(undefined);
      setId(undefined);
      const placed = (order.current = api.request("POST", "/v1/jobs", { body: { model, input, ...options } as JobRequest }));
      try {
        const made = await placed;
        hub.put(made);
        if (order.current === placed) setId(made.id);
        return made;
      } catch (refused) {
        if (order.current === placed) setError(refused as Error);
        throw refused;
      } finally {
        if (order.current === placed) setBusy(false);
      }
    },
    [api, hub, model],
  );
  const cancel = useCallback(async () => {
    const placed = await order.current;
    if (placed) hub.put(await api.request("POST", "/v1/jobs/{job_id}/cancel", { path: { job_id: placed.id } }));
  }, [api, hub]);
  const price = useCallback(
    async (input: Input) => {
      const number = ++asked.current;
      const told = await api.request("POST", "/v1/quotes", { body: { model, input } });
      if (number === asked.current) setQuote(told);
      return told;
    },
    [api, model],
  );
  const reset = useCallback(() => {
    order.current = undefined;
    setId(undefined);
    setBusy(false);
    setError(undefined);
  }, []);
  return { status: busy ? "submitting" : (job?.status ?? "idle"), job, error, quote, submit, cancel, price, reset };
}
