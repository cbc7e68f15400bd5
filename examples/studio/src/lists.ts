/** A list of the API that is read page by page, as far as somebody looks. */
import { useCallback, useEffect, useRef, useState } from "react";

interface Page<T> { data: T[]; next: string | null }
interface Found<S> { place: string; items: S[]; next: string | null; error: unknown; loading: boolean }

export interface List<S> { items: S[]; loading: boolean; error: unknown; more: (() => void) | undefined; change: (how: (items: S[]) => S[]) => void; again: () => void }

/** `place` says which list it is: another one is read anew, and what comes late of the one before is not shown. */
export function useList<T, S>(place: string, read: (page: { cursor?: string; limit: number }) => Promise<Page<T>>, shape: (item: T) => S, limit = 60): List<S> {
  const [round, setRound] = useState(0);
  const key = `${round} ${place}`;
  const nothing: Found<S> = { place: key, items: [], next: null, error: undefined, loading: true };
  const [found, setFound] = useState<Found<S>>(nothing);
  const latest = useRef({ read, shape, key });
  latest.current = { read, shape, key };
  const now = found.place === key ? found : nothing;

  const ask = useCallback((cursor?: string) => {
    const { key: asked, read: page, shape: as } = latest.current;
    page({ limit, ...(cursor ? { cursor } : {}) }).then(
      ({ data, next }) => latest.current.key === asked && setFound((known) => ({
        place: asked, items: [...(cursor ? known.items : []), ...data.map(as)], next, error: undefined, loading: false,
      })),
      (error: unknown) => latest.current.key === asked && setFound((known) => ({ ...(known.place === asked ? known : nothing), place: asked, error, loading: false })),
    );
  }, [limit]);
  useEffect(() => ask(), [key, ask]);

  const { next, loading } = now;
  const more = next && !loading ? () => (setFound({ ...now, loading: true }), ask(next)) : undefined;
  return {
    items: now.items, loading, error: now.error, more, again: () => setRound(round + 1),
    change: (how) => setFound((known) => ({ ...known, items: how(known.items) })),
  };
}

/** Calls `act` when the element comes near what is seen. */
export function useNear(act: (() => void) | undefined) {
  const latest = useRef(act);
  latest.current = act;
  const watching = useRef<IntersectionObserver>(undefined);
  return useCallback((element: Element | null) => {
    watching.current?.disconnect();
    if (!element) return;
    watching.current = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && latest.current?.(), { rootMargin: "600px" });
    watching.current.observe(element);
  }, []);
}
