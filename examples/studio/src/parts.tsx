/** Small parts that know nothing of what is made here. */
import type { Model } from "@headrace/client";
import { createContext, type ReactNode, useEffect, useRef, useSyncExternalStore } from "react";

const DRAWN: Record<string, ReactNode> = {
  clock: <><circle cx="8" cy="8" r="6" /><path d="M8 4.5V8h3" /></>,
  image: <><rect x="2" y="2.5" width="12" height="11" rx="1.5" /><circle cx="5.8" cy="6" r="1.2" /><path d="M2.5 12l3.5-3.5 2.5 2.3 2.5-2.8 3 3" /></>,
  film: <><rect x="2" y="3" width="12" height="10" rx="1.5" /><path d="M5 3v10M11 3v10M2 6.300h3M2 9.700h3M11 6.300h3M11 9.700h3" /></>,
  speech: <path d="M2.5 6.500v3M5.300 4v8M8 2v12M10.800 5v6M13.500 6.500v3" />,
  pen: <path d="M3 13l1-3.500L11 2.500l2.500 2.500-7 7zM9.500 4L12 6.500M9 13.500h4.500" />,
  grid: <path d="M2.500 2.500h4.500v4.500H2.500zM9 2.500h4.500v4.500H9zM2.500 9h4.500v4.500H2.500zM9 9h4.500v4.500H9z" />,
  share: <><circle cx="4" cy="8" r="2" /><circle cx="12" cy="3.800" r="2" /><circle cx="12" cy="12.200" r="2" /><path d="M5.800 7.100l4.400-2.400M5.800 8.900l4.400 2.400" /></>,
  plus: <path d="M8 3v10M3 8h10" />,
  search: <><circle cx="7" cy="7" r="4.500" /><path d="M10.500 10.500L14 14" /></>,
  failed: <><path d="M5.300 1.500h5.400l3.800 3.800v5.400l-3.800 3.800H5.300l-3.800-3.800V5.300z" fill="currentColor" stroke="none" /><path d="M5.800 5.800l4.400 4.400M10.200 5.800l-4.400 4.400" stroke="var(--surface)" /></>,
  succeeded: <><circle cx="8" cy="8" r="6.500" fill="currentColor" stroke="none" /><path d="M5.300 8.200l1.900 1.900 3.500-3.900" stroke="var(--surface)" /></>,
  queued: <circle cx="8" cy="8" r="5.500" strokeDasharray="2.2 2.120" />,
  running: <><circle cx="8" cy="8" r="5.500" opacity=".3" /><path d="M8 2.500A5.500 5.500 0 0 1 13.500 8" /></>,
  canceled: <><circle cx="8" cy="8" r="5.700" /><path d="M4 12L12 4" /></>,
  down: <path d="M3.500 6L8 10.500 12.500 6" />,
  x: <path d="M4 4l8 8M12 4l-8 8" />,
  download: <path d="M8 2v8M4.500 7L8 10.500 11.500 7M2.500 13.500h11" />,
  heart: <path d="M8 13.500C3.500 10.500 2 8 2 5.800A3 3 0 0 1 8 4.500a3 3 0 0 1 6 1.300c0 2.200-1.500 4.700-6 7.700z" />,
  loved: <path d="M8 13.500C3.500 10.500 2 8 2 5.800A3 3 0 0 1 8 4.500a3 3 0 0 1 6 1.300c0 2.200-1.500 4.700-6 7.700z" fill="currentColor" />,
  retry: <path d="M13 3v3.500H9.500M13 6.500A5.500 5.500 0 1 0 13.500 9" />,
};

/** What can be ordered, for whoever shows a name. */
export const Catalogue = createContext<Model[]>([]);

export const Icon = ({ name }: { name: string }) => <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">{DRAWN[name]}</svg>;
export const Mark = () => <svg className="mark" viewBox="0 0 24 24" aria-hidden="true"><path d="M3 9c3-3 6 3 9 0s6 3 9 0M3 15c3-3 6 3 9 0s6 3 9 0" /></svg>;

/** A modal dialog: the browser's own, so that focus stays in it, Escape closes it, and focus goes back. */
export function Dialog({ label, onClose, className, children }: { label: string; onClose: () => void; className?: string; children: ReactNode }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = box.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={box} className={className} aria-label={label} onClose={onClose}
      onClick={(event) => event.target === box.current && box.current?.close()}>{children}</dialog>
  );
}

// What was done, said in a corner and to screen readers.
let said = "";
const hearers = new Set<() => void>();
let clearing: ReturnType<typeof setTimeout> | undefined;
export function say(text: string): void {
  said = text;
  clearTimeout(clearing);
  if (text) clearing = setTimeout(() => say(""), 7000);
  hearers.forEach((hear) => hear());
}
const hearing = (hear: () => void) => (hearers.add(hear), () => void hearers.delete(hear));

export function Said() {
  const text = useSyncExternalStore(hearing, () => said);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    box.current?.hidePopover();
    if (text) box.current?.showPopover(); // above a dialog that is open
  }, [text]);
  return (
    <div className="toasts" role="status" popover="manual" ref={box}>
      {text && <div className="toast"><Icon name="succeeded" /><span>{text}</span><button className="btn quiet small" onClick={() => say("")}>Close</button></div>}
    </div>
  );
}

export function Search({ value, onChange, label, id }: { value: string; onChange: (text: string) => void; label: string; id: string }) {
  return (
    <div className="search" role="search"><Icon name="search" /><label className="sr" htmlFor={id}>{label}</label>
      <input className="in" id={id} type="search" placeholder={label} value={value} onChange={(event) => onChange(event.target.value)} /></div>
  );
}

/** A heading that takes the focus when its view is opened, so that who listens hears where they are. */
export function Heading({ children }: { children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return <h1 ref={heading} tabIndex={-1}>{children}</h1>;
}

export function Trouble({ text, onAgain }: { text: string; onAgain?: () => void }) {
  return (
    <div className="note is-bad" role="alert"><Icon name="failed" /><p>{text}</p>
      {onAgain && <div className="act"><button className="btn small" onClick={onAgain}>Try again</button></div>}</div>
  );
}
