// What the console's pages can do besides being read. Every part works without this file: links lead to pages, forms post.
"use strict";
const $ = (query, root = document) => root.querySelector(query);
const $$ = (query, root = document) => [...root.querySelectorAll(query)];

/* Toast */
const toasts = Object.assign(document.createElement("div"), { className: "toasts" });
toasts.setAttribute("role", "status");
document.body.append(toasts);
function toast(text) {
  const box = Object.assign(document.createElement("div"), { className: "toast", textContent: text });
  toasts.replaceChildren(box);
  setTimeout(() => box.remove(), 4000);
}

/* Copy */
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const from = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(from.startsWith("#") ? $(from).textContent : from);
    toast("Copied");
  } catch {
    toast("The browser did not allow copying");
  }
});

/* A secret that can be seen while it is typed */
for (const button of $$("[data-reveal]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const field = document.getElementById(button.dataset.reveal);
    const show = field.type === "password";
    field.type = show ? "text" : "password";
    button.setAttribute("aria-pressed", String(show));
    button.textContent = show ? "Hide" : "Show";
  });
}

/* "/" goes to the field that finds things */
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const field = $("[data-find-here]") || $("[data-find]");
  if (!field || !field.offsetParent) return;
  event.preventDefault();
  field.focus();
});

/* What is shown of a timeline */
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-kind-toggle]");
  if (!button) return;
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  for (const item of $$(`[data-kind="${button.dataset.kindToggle}"]`)) item.hidden = !on;
});

/* Charts: the pointer or arrow keys read a moment */
function readable(plot) {
  if (plot.dataset.reads) return;
  plot.dataset.reads = "yes";
  const data = JSON.parse(plot.dataset.points), chart = plot.closest(".chart");
  const svg = $("svg", plot), read = $(".read", chart), edge = $(".xl", chart), last = data.at.length - 1;
  const line = document.createElementNS(svg.namespaceURI, "line");
  for (const [name, value] of [["class", "cross"], ["y1", 0], ["y2", 120]]) line.setAttribute(name, value);
  let at = last;
  const show = (index) => {
    at = Math.max(0, Math.min(last, index));
    const x = last ? (at / last) * 360 : 0;
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    svg.append(line);
    read.textContent = `${data.at[at]}: ` + data.lines.map((each) => `${each.name} ${each.values[at]}`).join(", ");
    edge.hidden = true;
    read.hidden = false;
  };
  const leave = () => { line.remove(); edge.hidden = false; read.hidden = true; };
  plot.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    show(Math.round(((event.clientX - box.left) / box.width) * last));
  });
  plot.addEventListener("pointerleave", leave);
  plot.addEventListener("blur", leave);
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e6, End: 1e6 }[event.key];
    if (step) { event.preventDefault(); show(at + step); }
  });
}
/* A part of the page gets what works with this file only; `old`: the part whose place it takes, with what was chosen in it. */
function dress(part, old) {
  $$(".plot[data-points]", part).forEach(readable);
  for (const group of $$("[data-kinds]", part)) group.hidden = false;
  for (const off of old ? $$('[data-kind-toggle][aria-pressed="false"]', old) : []) {
    $(`[data-kind-toggle="${off.dataset.kindToggle}"]`, part)?.setAttribute("aria-pressed", "false");
    for (const item of $$(`[data-kind="${off.dataset.kindToggle}"]`, part)) item.hidden = true;
  }
}
dress(document);

/* Live: the page is asked for again every few seconds, and its parts ([data-part], by id) take the place of the old ones;
   none while the focus or the pointer is in it, and none in a page that nobody sees. */
const live = $("[data-live]"), EVERY = 5000, STALE = 30000;
if (live) {
  live.hidden = false;
  const word = $("[data-live-word]", live);
  let heard = Date.now(), since = new Date().toTimeString().slice(0, 5);
  const on = () => live.getAttribute("aria-pressed") === "true";
  const say = (text, stale) => { if (word.textContent !== text) word.textContent = text; live.classList.toggle("stale", stale); };
  live.addEventListener("click", () => {
    live.setAttribute("aria-pressed", String(!on()));
    say(on() ? "Live" : "Paused", false);
    if (on()) ask();
  });
  const ask = async () => {
    if (!on() || document.hidden) return;
    try {
      const answer = await fetch(location.href, { headers: { "headrace-live": "1" }, redirect: "manual", cache: "no-store" });
      if (answer.type === "opaqueredirect") { location.reload(); return; }
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!on()) return;
      for (const fresh of $$("[data-part]", page)) {
        const old = document.getElementById(fresh.id);
        if (!old || old.contains(document.activeElement) || old.matches(":hover")) continue;
        if (old.outerHTML === fresh.outerHTML) continue;
        old.replaceWith(document.adoptNode(fresh));
        dress(fresh, old);
      }
      heard = Date.now();
      since = new Date().toTimeString().slice(0, 5);
      say("Live", false);
    } catch {
      if (Date.now() - heard > STALE) say(`Not live since ${since}`, true);
    }
  };
  setInterval(ask, Number(live.dataset.live) || EVERY);
}
