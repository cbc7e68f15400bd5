/** What went wrong, as classes: one for each kind of answer, made from the API's problem documents (RFC 9457). */
import type { Job, Problem } from "./types.js";

/** Any refusal. `code` says which (docs/reference/errors.md), `retryable` whether the same request may succeed soon. */
export class HeadraceError extends Error {
  readonly status: number;
  readonly code: string;
  readonly param: string | null;
  readonly retryable: boolean;
  readonly requestId: string | null;
  /** Seconds that the API asks to wait, if it says so. */
  readonly retryAfter: number | undefined;
  readonly problem: Partial<Problem> & Record<string, unknown>;

  constructor(status: number, problem: Partial<Problem>, retryAfter?: number) {
    super(problem.detail || problem.title || `status ${status}`);
    this.name = new.target.name;
    this.status = status;
    this.code = problem.code ?? `status_${status}`;
    this.param = problem.param ?? null;
    this.retryable = problem.retryable ?? RETRIED.has(status);
    this.requestId = problem.request_id ?? null;
    this.retryAfter = retryAfter;
    this.problem = problem;
  }
}

/** What was sent is not what the API takes: see `param`. */
export class InvalidRequestError extends HeadraceError {}
/** The key or token is none, or no longer. */
export class NotAuthenticatedError extends HeadraceError {}
/** It costs more credits than there are, or must be paid first. */
export class PaymentRequiredError extends HeadraceError {}
/** Whoever asks may not do this. */
export class ForbiddenError extends HeadraceError {}
/** There is no such thing, or it is not yours. */
export class NotFoundError extends HeadraceError {}
/** The thing is not in a state in which this can be done. */
export class ConflictError extends HeadraceError {}
/** It was there, and is not any more. */
export class GoneError extends HeadraceError {}
/** Too many requests, streams or jobs: later. */
export class RateLimitedError extends HeadraceError {}
/** The API's own fault, or its absence for a while. */
export class ServerError extends HeadraceError {}

/** No answer came: nobody knows whether the request was heard. `cause` says what broke. */
export class UnreachableError extends HeadraceError {
  constructor(cause: unknown) {
    super(0, { code: "unreachable", detail: "the API does not answer", retryable: true });
    this.cause = cause;
  }
}

/** What came is not what was promised: it was cut off, or is damaged. */
export class BrokenDownloadError extends HeadraceError {
  constructor(detail: string) {
    super(0, { code: "broken_download", detail, retryable: true });
  }
}

/** The job ended without a result; `job` has all of it, and nothing was charged unless its model says so. */
export class JobFailedError extends Error {
  readonly job: Job;
  readonly code: string;

  constructor(job: Job) {
    super(job.error?.message ?? `the job was ${job.status}`);
    this.name = new.target.name;
    this.job = job;
    this.code = job.error?.code ?? job.status;
  }
}

const RETRIED = new Set([408, 425, 429, 502, 503, 504]);

const classOf = (status: number) =>
  ({
    400: InvalidRequestError, 413: InvalidRequestError, 422: InvalidRequestError, 401: NotAuthenticatedError,
    402: PaymentRequiredError, 403: ForbiddenError, 404: NotFoundError, 409: ConflictError, 410: GoneError,
    429: RateLimitedError,
  })[status] ?? (status >= 500 ? ServerError : HeadraceError);

/** Seconds of a Retry-After header: a number or a date. */
export function secondsOf(header: string | null, now = Date.now()): number | undefined {
  if (!header) return undefined;
  const seconds = /^\d+$/.test(header) ? +header : (Date.parse(header) - now) / 1000;
  return seconds >= 0 ? seconds : undefined;
}

/** The error that an answer tells. */
export async function errorOf(response: Response): Promise<HeadraceError> {
  let problem: Partial<Problem> = {};
  try {
    const body: unknown = await response.json();
    if (body && typeof body === "object") problem = body as Partial<Problem>;
  } catch {
    // A proxy's page: its status says enough.
  }
  return new (classOf(response.status))(response.status, problem, secondsOf(response.headers.get("retry-after")));
}
