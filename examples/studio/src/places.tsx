/** Which view is shown: the address says it. */
import { type MouseEvent, type ReactNode, useSyncExternalStore } from "react";

const BASE = "/studio";
const listeners = new Set<() => void>();
const tell = () => listeners.forEach((listener) => listener());
const subscribe = (listener: () => void) => {
  listeners.add(listener);
  window.addEventListener("popstate", listener);
  return () => (listeners.delete(listener), window.removeEventListener("popstate", listener));
};

export const go = (place: string, { replace = false } = {}): void => {
  history[replace ? "replaceState" : "pushState"](null, "", BASE + place);
  tell();
};

/** The address within the studio: path and query. */
export function usePlace(): { path: string; query: URLSearchParams } {
  const address = useSyncExternalStore(subscribe, () => location.pathname + location.search);
  const { pathname, searchParams } = new URL(address, location.origin);
  return { path: pathname.slice(BASE.length) || "/", query: searchParams };
}

export function Link({ to, children, current, ...rest }: { to: string; children: ReactNode; current?: boolean; className?: string }) {
  const follow = (event: MouseEvent) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(to);
    window.scrollTo(0, 0);
  };
  return <a href={BASE + to} onClick={follow} aria-current={current ? "page" : undefined} {...rest}>{children}</a>;
}
