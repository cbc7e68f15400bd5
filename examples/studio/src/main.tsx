/** Millpond: who is in, the frame around the views, and the stream that all of them share. */
import "./studio.css";
import type { Model } from "@headrace/client";
import { HeadraceProvider, useConnection, useCredits, useEvents, useHeadrace } from "@headrace/react";
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Buy } from "./buy.js";
import { Collection, Collections } from "./collections.js";
import { Enter } from "./enter.js";
import { Gallery } from "./gallery.js";
import { History } from "./history.js";
import { Make } from "./make.js";
import { Catalogue, Heading, Icon, Mark, Said, say, Trouble } from "./parts.js";
import { Link, usePlace } from "./places.js";
import { getToken, signOut, whoIsIn } from "./server.js";
import { credits, sayError } from "./words.js";

const VIEWS = [
  { to: "/", name: "Make", icon: "plus" }, { to: "/gallery", name: "Gallery", icon: "grid" },
  { to: "/collections", name: "Collections", icon: "share" }, { to: "/history", name: "History", icon: "clock" },
];

/** What can be ordered, read once. */
function useModels(): { models: Model[]; trouble: unknown } {
  const api = useHeadrace();
  const [models, setModels] = useState<Model[]>([]);
  const [trouble, setTrouble] = useState<unknown>();
  useEffect(() => {
    let here = true;
    const read = async () => {
      const all: Model[] = [];
      for await (const model of api.iterate("/v1/models")) all.push(model);
      if (here) setModels(all);
    };
    read().catch((error: unknown) => here && setTrouble(error));
    return () => void (here = false);
  }, [api]);
  return { models, trouble };
}

function Purse({ onBuy }: { onBuy: () => void }) {
  const known = useCredits();
  return (
    <div className="purse push"><span><b data-balance>{known?.available ?? "…"}</b> credits{known?.reserved ? <span className="held">, {known.reserved} held</span> : null}</span>
      <button className="btn small primary" onClick={onBuy}>Buy</button></div>
  );
}

function Account({ email, onOut }: { email: string; onOut: () => void }) {
  const [theme, setTheme] = useState(document.documentElement.dataset["theme"] ?? "system");
  const choose = (name: string) => {
    setTheme(name);
    if (name === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = name;
    try {
      localStorage.setItem("theme", name);
    } catch { /* it is not kept */ }
  };
  return (
    <>
      <button className="face" popoverTarget="mine" ><span aria-hidden="true">{email.slice(0, 2).toUpperCase()}</span><span className="sr">Account of {email}</span></button>
      <div className="mine" id="mine" popover="auto">
        <p>{email}</p>
        <div className="seg" role="group" aria-label="Theme">{["system", "light", "dark"].map((name) => <button key={name} aria-pressed={theme === name} onClick={() => choose(name)}>{name[0]!.toUpperCase() + name.slice(1)}</button>)}</div>
        <button className="btn" onClick={onOut}>Sign out</button>
      </div>
    </>
  );
}

/** Said when the page has not heard anything for a while. A line that comes back at once is no news. */
function Off() {
  const { open, error } = useConnection();
  const [late, setLate] = useState(false);
  useEffect(() => {
    const wait = open ? undefined : setTimeout(() => setLate(true), 4000);
    return () => (clearTimeout(wait), setLate(false));
  }, [open]);
  return late ? <p className="off" role="status">{error ? sayError(error) : "Not live just now: trying again."}</p> : null;
}

function Paid() {
  const known = useCredits();
  return <section className="compose"><div className="empty"><Icon name="succeeded" /><Heading>Thank you</Heading><p>{known ? `You have ${known.available} credits.` : "…"} You can close this window, or go on here.</p><div className="row"><Link to="/" className="btn primary">Make something</Link></div></div></section>;
}

function View({ path, models, onBuy }: { path: string; models: Model[]; onBuy: () => void }) {
  const collection = /^\/collections\/([0-9a-f-]{36})$/.exec(path)?.[1];
  if (collection) return <Collection key={collection} id={collection} />;
  switch (path) {
    case "/": return <Make models={models} onBuy={onBuy} />;
    case "/gallery": return <Gallery />;
    case "/collections": return <Collections />;
    case "/history": return <History models={models} />;
    case "/paid": return <Paid />;
    default: return <section className="empty"><Heading>There is nothing here</Heading><p>The address may be cut off.</p><div className="row"><Link to="/" className="btn primary">Make something</Link></div></section>;
  }
}

function Frame({ email, onOut }: { email: string; onOut: () => void }) {
  const { path } = usePlace();
  const { models, trouble } = useModels();
  const [buying, setBuying] = useState(false);
  const onBuy = () => setBuying(true);
  const here = VIEWS.find(({ to }) => (to === "/" ? path === "/" : path.startsWith(to)));
  useEffect(() => void (document.title = here && here.to !== "/" ? `${here.name} · Millpond` : "Millpond"), [here]);
  useEvents(({ type, data }) => {
    const back = data["credits"] ? `It cost ${credits(data["credits"])}.` : "Its credits are back.";
    say(type === "job.failed" ? `That could not be made. ${back}` : `Stopped. ${back}`);
  }, { types: ["job.failed", "job.canceled"] });
  return (
    <>
      <a className="skip" href="#main">Skip to the content</a>
      <header className="pub-top">
        <Link to="/" className="brand"><Mark />Millpond</Link>
        <nav className="links" aria-label="Millpond">{VIEWS.map(({ to, name }) => <Link key={to} to={to} current={here?.to === to}>{name}</Link>)}</nav>
        <Purse onBuy={onBuy} />
        <Account email={email} onOut={onOut} />
      </header>
      <Off />
      <main id="main" className="wrap" tabIndex={-1}>
        {trouble ? <Trouble text={sayError(trouble)} onAgain={() => location.reload()} /> : null}
        <Catalogue value={models}><View path={path} models={models} onBuy={onBuy} /></Catalogue>
      </main>
      <nav className="dock" aria-label="Millpond, below">{VIEWS.map(({ to, name, icon }) => <Link key={to} to={to} current={here?.to === to}><Icon name={icon} />{name}</Link>)}</nav>
      {buying && <Buy onClose={() => setBuying(false)} />}
      <Said />
    </>
  );
}

function Millpond() {
  const [email, setEmail] = useState<string | null>();
  const [trouble, setTrouble] = useState<unknown>();
  useEffect(() => void whoIsIn().then(setEmail, setTrouble), []);
  const out = () => void signOut().then(() => setEmail(null), (error) => say(sayError(error)));
  if (trouble) return <main id="main" className="wrap"><Trouble text={sayError(trouble)} onAgain={() => location.reload()} /></main>;
  if (email === undefined) return null;
  if (email === null) return <Enter onEnter={setEmail} />;
  return <HeadraceProvider key={email} getToken={getToken}><Frame email={email} onOut={out} /></HeadraceProvider>;
}

createRoot(document.getElementById("root")!).render(<StrictMode><Millpond /></StrictMode>);
