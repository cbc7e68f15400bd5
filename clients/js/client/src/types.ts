/** Types of the API, all taken from its OpenAPI document. */
import type { components, paths } from "./openapi.js";

export type { components, paths };
export type Schemas = components["schemas"];
export type Job = Schemas["Job"];
export type JobRequest = Schemas["JobRequest"];
export type Output = Schemas["Output"];
export type Model = Schemas["Model"];
export type Quote = Schemas["Quote"];
export type Credits = Schemas["Credits"];
export type Problem = Schemas["Problem"];

/** Something that happened (docs/events.md has the types and their data). Only what is kept has a number. */
export interface HeadraceEvent {
  number: number | null;
  type: string;
  job_id: string | null;
  created_at: string | null;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as many shapes as types
  data: Record<string, any>;
}

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** The paths that know a method. */
export type PathFor<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<Lowercase<M>, { responses: unknown }> ? P : never;
}[keyof paths];

type Operation<M extends Method, P> = P extends keyof paths ? (paths[P] extends Record<Lowercase<M>, infer O> ? O : never) : never;

type PathPart<O> = O extends { parameters: { path: infer X } } ? { path: { [K in keyof X]: X[K] | number } } : { path?: undefined };
type QueryPart<O> = O extends { parameters: { query: infer Q } }
  ? { query: Q }
  : O extends { parameters: { query?: infer Q } } ? { query?: Q } : { query?: undefined };
type BodyOf<C> = C extends { "application/json": infer B }
  ? B | (C extends { "multipart/form-data": unknown } ? FormData : never)
  : BodyInit;
type BodyPart<O> = O extends { requestBody: { content: infer C } }
  ? { body: BodyOf<C> }
  : O extends { requestBody?: undefined } ? { body?: undefined } : { body?: unknown };

/** What every call may be given. */
export interface CallOptions {
  signal?: AbortSignal | null | undefined;
  headers?: Record<string, string> | undefined;
  /** The same key again is answered with what it made: give one that outlives your process. Else each call makes its own. */
  idempotencyKey?: string | undefined;
  /** For one attempt; 60,000 unless said otherwise. 0: as long as it takes. */
  timeoutMs?: number | undefined;
}

export type RequestOptions<M extends Method, P> = CallOptions &
  PathPart<Operation<M, P>> & QueryPart<Operation<M, P>> & BodyPart<Operation<M, P>>;

/** Left out where nothing of it is required. */
export type MaybeOptions<T> = Record<string, never> extends Omit<T, keyof CallOptions> ? [options?: T] : [options: T];

type Success = 200 | 201 | 202 | 204 | 206;
type Told<R> = R extends { content: { "application/json": infer T } } ? T : R extends { content: object } ? string : undefined;

/** What a call is answered with. */
export type Result<M extends Method, P> =
  Operation<M, P> extends { responses: infer R } ? { [S in keyof R & Success]: Told<R[S]> }[keyof R & Success] : never;

/** The paths that are lists, page by page. */
export type ListPath = {
  [P in PathFor<"GET">]: Result<"GET", P> extends { data: unknown[]; next: string | null } ? P : never;
}[PathFor<"GET">];
export type ItemOf<P extends ListPath> = Result<"GET", P> extends { data: (infer T)[] } ? T : never;
