// The page that tests/clients_js opens in Chromium: all hooks in strict mode, what they say in `window`, and counts of what they hold.
import { StrictMode, Suspense, use, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { HeadraceProvider, useConnection, useCredits, useEvents, useGenerate, useJob, useJobs } from "@headrace/react";

const asked = new URLSearchParams(location.search);
const held = { listeners: 0, intervals: 0, channels: 0 };

// What is added and not removed again. React's own listeners are on the root, and are not counted.
for (const target of [window, document]) {
  const { addEventListener } = target;
  target.addEventListener = function (name, act, options) {
    if (options?.signal) {
      held.listeners++;
      options.signal.addEventListener("abort", () => held.listeners--);
    }
    return addEventListener.call(target, name, act, options);
  };
}
const { setInterval: start, clearInterval: stop } = window;
const quick = +(asked.get("quick") ?? 1); // clocks that go so many times as fast
window.setInterval = (act, ms) => (held.intervals++, start(act, ms / quick));
const { now } = Date;
const opened = now();
Date.now = () => opened + (now() - opened) * quick;
window.clearInterval = (clock) => (clock === undefined || held.intervals--, stop(clock));
const { close } = BroadcastChannel.prototype;
window.BroadcastChannel = class extends BroadcastChannel {
  constructor(name) { super(name); held.channels++; }
  close() { held.channels--; return close.call(this); }
};
if (asked.has("alone")) Object.defineProperty(navigator, "locks", { value: undefined });
// A browser that says nothing before it freezes a page.
if (asked.has("deaf")) document.addEventListener("freeze", (event) => event.stopImmediatePropagation(), true);

window.holds = async () => {
  const { held: locks = [], pending = [] } = (await navigator.locks?.query()) ?? {};
  return { ...held, locks: locks.length + pending.length };
};
window.numbers = [];
window.types = [];
window.requests = [];
const { fetch } = window;
window.fetch = (url, options) => (window.requests.push(`${options?.method ?? "GET"} ${new URL(url, location).pathname}`), fetch(url, options));

const getToken = async () => (await window.fetch("/token", { method: "POST" })).json();

function All() {
  const { jobs, loading, hasMore, loadMore } = useJobs();
  const failed = useJobs({ status: "failed" });
  const credits = useCredits();
  const { open, error } = useConnection();
  useEvents(({ number, type }) => {
    window.types.push(type);
    if (number !== null && !["snapshot", "balance", "reset"].includes(type)) window.numbers.push(number);
  });
  window.more = loadMore;
  window.seen = {
    loading, open, hasMore, error: error?.name, available: credits?.available, reserved: credits?.reserved, failed: failed.jobs.length,
    jobs: Object.fromEntries(jobs.map((job) => [job.id, job.status])),
    checked: jobs.filter((job) => job.outputs.some((output) => output.sha256)).length,
  };
  return null;
}

function One() {
  const [id, setId] = useState(null);
  const { job, error, loading } = useJob(id);
  useEffect(() => void (window.look = setId), []);
  window.one = { status: job?.status, error: error?.code, loading };
  return null;
}

function Order() {
  const made = useGenerate(asked.get("model") ?? "quick");
  window.generate = made;
  window.made = { status: made.status, id: made.job?.id, outputs: made.job?.outputs.length, error: made.error?.code, price: made.quote?.credits };
  return null;
}

let resolve;
window.later = new Promise((done) => (resolve = done));
window.resume = () => resolve("there");
function Late() {
  const credits = useCredits();
  const { jobs } = useJobs();
  const word = use(window.later);
  window.late = `${word} ${jobs.length} ${credits?.available}`;
  return null;
}

const root = createRoot(document.getElementById("root"));
window.show = (...names) =>
  root.render(
    <StrictMode>
      <HeadraceProvider url={asked.get("api")} getToken={getToken}>
        {names.includes("all") && <All />}
        {names.includes("one") && <One />}
        {names.includes("order") && <Order />}
        {names.includes("late") && <Suspense fallback={<i>later</i>}><Late /></Suspense>}
      </HeadraceProvider>
    </StrictMode>,
  );
window.leave = () => root.unmount();
window.show("all", "one", "order");
