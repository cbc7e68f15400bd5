/** Pauses and deadlines that nothing outlives. */

/** Nothing for so long, and a line is taken for dead: a host that lost its power says no goodbye. */
export const SILENCE_MS = 40_000;

/** Milliseconds until the next try: twice as long each time, to half a minute; half of it by chance, so that not all come at once. */
export function backoff(tries: number, random = Math.random): number {
  return Math.min(30_000, 500 * 2 ** tries) * (0.5 + random() / 2);
}

/** Wait. Rejects with the signal's reason where that comes first. */
export function pause(milliseconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

export interface Deadline {
  signal: AbortSignal;
  /** Begin anew: there was a sign of life. */
  renew(): void;
  /** Time does not count any more; the other signal still does. */
  rest(): void;
  /** Abort whatever still goes on, and forget the clock. */
  end(): void;
}

/** A signal that is aborted with another one, or after a time in which nobody renewed it (0: never). */
export function deadline(milliseconds: number, outer?: AbortSignal | null): Deadline {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => controller.abort(outer?.reason);
  const renew = () => {
    clearTimeout(timer);
    if (milliseconds > 0) timer = setTimeout(() => controller.abort(new Error("nothing came for too long")), milliseconds);
  };
  if (outer?.aborted) stop();
  else outer?.addEventListener("abort", stop, { once: true });
  renew();
  const rest = () => clearTimeout(timer);
  const end = () => {
    rest();
    outer?.removeEventListener("abort", stop);
    controller.abort();
  };
  return { signal: controller.signal, renew, rest, end };
}
