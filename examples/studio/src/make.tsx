/** The first view: say what it shall be, see what it costs, watch it come. */
import { PaymentRequiredError, type Job, type Model } from "@headrace/client";
import { useCredits, useGenerate, useJobs } from "@headrace/react";
import { type FormEvent, type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { Control } from "./controls.js";
import { Look } from "./look.js";
import { Icon, Search, Trouble } from "./parts.js";
import { Card, Doing, Sad } from "./pieces.js";
import { go, usePlace } from "./places.js";
import { choicesOf, type Field, formOf, inputOf, type Values } from "./schema.js";
import { credits, KINDS, type Kind, type Piece, piecesOf, sayError, sayFailure, sayProgress } from "./words.js";

const PAUSE_MS = 250; // after the last change, before a price is asked for
const SHOWN = 40;
const SAD_MS = 3_600_000; // so long what came to nothing is shown among the rest
const KINDS_SHOWN = Object.keys(KINDS) as Kind[];
const prices = new Map<string, number>(); // what was asked once is known

/** The price of an order, asked for when nobody has changed it for a moment. */
function usePrice(model: Model, input: Values, price: (input: Values) => Promise<{ credits: number }>): number | undefined {
  const estimated = model.price.estimate_field; // only there the words count
  const asked = estimated && !input[estimated] ? { ...input, [estimated]: "…" } : estimated ? input : { ...input, ...("prompt" in input ? { prompt: "…" } : {}) };
  const key = JSON.stringify([model.id, model.version, asked]);
  const [known, setKnown] = useState<string>();
  useEffect(() => {
    if (prices.has(key)) return setKnown(key);
    const wait = setTimeout(() => {
      const [, , wanted] = JSON.parse(key) as [string, number, Values];
      price(wanted).then(({ credits: told }) => (prices.set(key, told), setKnown(key)), () => undefined);
    }, PAUSE_MS);
    return () => clearTimeout(wait);
  }, [key, price]);
  return prices.get(key) ?? (known === undefined ? undefined : prices.get(known));
}

interface Chosen { form: ReturnType<typeof formOf>; values: Values; set: (name: string, value: Values[string]) => void; setAll: (some: Values) => void }

const optionOf = (field: Field, value: string | number) =>
  field.name === "count" ? `${value} ${value === 1 ? "picture" : "pictures"}` : /seconds/.test(field.name) ? `${value} seconds` : String(value);

/** What is seen at once: model, shape and how many. */
function Knobs({ models, model, onModel, chosen }: { models: Model[]; model: Model; onModel: (id: string) => void; chosen: Chosen }) {
  const { form, values, set, setAll } = chosen;
  const { count, shapes } = form;
  const shape = shapes.find((each) => each.width === values["width"] && each.height === values["height"]) ?? shapes[0];
  return (
    <>
      <select className="in" aria-label="Made with" value={model.id} onChange={(event) => onModel(event.target.value)}>
        {models.map((each) => <option key={each.id} value={each.id}>{each.name}</option>)}
      </select>
      {shape && <select className="in" aria-label="Shape" value={shape.name} onChange={(event) => {
        const { width, height } = shapes.find((each) => each.name === event.target.value) ?? shape;
        setAll({ width, height });
      }}>{shapes.map((each) => <option key={each.name}>{each.name}</option>)}</select>}
      {count && <select className="in" aria-label={count.label} value={String(values[count.name] ?? "")} onChange={(event) => set(count.name, +event.target.value)}>
        {choicesOf(count).map((each) => <option key={each} value={each}>{optionOf(count, each)}</option>)}
      </select>}
    </>
  );
}

function Compose({ models, words, onWords, onBuy }: { models: Model[]; words: string; onWords: (words: string) => void; onBuy: () => void }) {
  const [kind, setKind] = useState<Kind>("image");
  const [picked, setPicked] = useState<Partial<Record<Kind, string>>>({});
  const fitting = models.filter((each) => each.kind === kind);
  const model = fitting.find((each) => each.id === picked[kind]) ?? fitting[0] ?? models[0]!;
  const form = useMemo(() => formOf(model), [model]);
  const [changed, setChanged] = useState<Record<string, Values>>({});
  const values = { ...form.defaults, ...changed[model.id] };
  const setAll = (some: Values) => setChanged((known) => ({ ...known, [model.id]: { ...known[model.id], ...some } }));
  const { submit, price, status, job, error, reset } = useGenerate(model.id);
  const input = inputOf(form, words.trim(), values);
  const cost = usePrice(model, input, price);
  const available = useCredits()?.available;
  const left = cost === undefined || available === undefined ? undefined : available - cost;
  const short = left !== undefined && left < 0;
  const order = (event: FormEvent) => {
    event.preventDefault();
    if (short) return onBuy();
    if (words.trim()) void submit(input).catch(() => undefined);
  };
  const byKey = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) event.currentTarget.form?.requestSubmit();
  };
  const refused = error && (error instanceof PaymentRequiredError ? undefined : sayError(error));
  return (
    <section className="compose" aria-labelledby="make-h">
      <h1 id="make-h">What shall it be?</h1>
      <form onSubmit={order} aria-label="Order">
        <div className="kinds" role="radiogroup" aria-label="Kind">
          {KINDS_SHOWN.filter((each) => models.some((one) => one.kind === each)).map((each) => (
            <label key={each}><input type="radio" name="kind" checked={each === kind} onChange={() => (setKind(each), reset())} /><Icon name={KINDS[each].icon} />{KINDS[each].one}</label>
          ))}
        </div>
        <label className="sr" htmlFor="words">Describe it</label>
        <textarea id="words" rows={2} required={!short} maxLength={form.most} placeholder={KINDS[kind].ask} value={words} onChange={(event) => onWords(event.target.value)} onKeyDown={byKey} />
        <p className="about">{model.description}</p>
        <div className="knobs">
          <Knobs models={fitting} model={model} onModel={(id) => (setPicked({ ...picked, [kind]: id }), reset())} chosen={{ form, values, set: (name, value) => setAll({ [name]: value }), setAll }} />
          <button className="btn primary" type="submit" disabled={status === "submitting"}>
            {short ? "Buy credits to make this" : cost === undefined ? "Make it" : `Make for ${credits(cost)}`}</button>
        </div>
        {refused && <div className="oops"><Trouble text={refused} /></div>}
        {form.fields.length > 0 && <details><summary>More choices<Icon name="down" /></summary>
          <div className="fields">{form.fields.map((field) => <Control key={`${model.id} ${field.name}`} field={field} value={values[field.name]} onChange={(value) => setAll({ [field.name]: value })} />)}</div></details>}
      </form>
      <p className="says" role="status">{short || error instanceof PaymentRequiredError ? `This costs ${credits(cost ?? 0)}, and you have ${available}.` : sayJob(job, left)}</p>
    </section>
  );
}

/** A sentence on the order that was placed last, or on what an order leaves. */
function sayJob(job: Job | undefined, left: number | undefined): string {
  if (job?.status === "failed") return `${sayFailure(job)} Your ${credits(job.credits.reserved)} are back.`;
  if (job && job.ended_at === null) return `${sayProgress(job)}. You can order the next one.`;
  return left === undefined ? "What is not made is given back." : `You will have ${left} left. What is not made is given back.`;
}

const FILTERS = { all: "All", image: "Pictures", video: "Films", rest: "Words and sounds" } as const;
type Filter = keyof typeof FILTERS;
const fits = (filter: Filter, kind: Kind | undefined) => filter === "all" || kind === filter || (filter === "rest" && (kind === "text" || kind === "speech"));

/** What is being made, what came to nothing just now, and what was made. */
function Yours({ models, onAgain }: { models: Model[]; onAgain: (piece: Piece) => void }) {
  const { jobs, loading, error, hasMore, loadMore } = useJobs();
  const [filter, setFilter] = useState<Filter>("all");
  const [most, setMost] = useState(SHOWN);
  const [shown, setShown] = useState<Piece>();
  const [typed, setTyped] = useState("");
  const kinds = useMemo(() => new Map(models.map((each) => [each.id, each.kind])), [models]);
  const fitting = jobs.filter((job) => fits(filter, kinds.get(job.model)));
  const retried = new Set(jobs.map((job) => job.retry_of));
  const doing = fitting.filter((job) => job.ended_at === null);
  const sad = fitting.filter((job) => job.status === "failed" && !retried.has(job.id) && Date.parse(job.ended_at!) > Date.now() - SAD_MS);
  const pieces = fitting.filter((job) => job.status === "succeeded").flatMap(piecesOf);
  const more = pieces.length > most || hasMore;
  const showMore = () => (setMost(most + SHOWN), pieces.length <= most + SHOWN && hasMore ? void loadMore() : undefined);
  return (
    <section className="grid" aria-labelledby="yours">
      <div className="gal-head"><h2 id="yours">Yours</h2>
        <div className="seg" role="group" aria-label="Show">{(Object.keys(FILTERS) as Filter[]).map((each) => <button key={each} aria-pressed={each === filter} onClick={() => setFilter(each)}>{FILTERS[each]}</button>)}</div>
        <form className="search-form" onSubmit={(event) => (event.preventDefault(), go(`/gallery?q=${encodeURIComponent(typed)}`))}><Search id="find" label="Search what you made" value={typed} onChange={setTyped} /></form></div>
      {error && !jobs.length ? <Trouble text={sayError(error)} /> : null}
      {!loading && !doing.length && !sad.length && !pieces.length && <div className="empty"><Icon name="image" /><h3>Nothing here yet</h3><p>Say above what it shall be: it appears here while it is made.</p></div>}
      <ul className="gal" aria-busy={loading}>
        {doing.map((job) => <Doing key={job.id} job={job} kind={kinds.get(job.model)} />)}
        {sad.map((job) => <Sad key={job.id} job={job} />)}
        {pieces.slice(0, most).map((piece) => <Card key={piece.id} piece={piece} onOpen={setShown} />)}
      </ul>
      {more && <div className="more"><button className="btn" onClick={showMore}>Show more</button></div>}
      {shown && <Look piece={shown} onClose={() => setShown(undefined)} onAgain={onAgain} />}
    </section>
  );
}

export function Make({ models, onBuy }: { models: Model[]; onBuy: () => void }) {
  const { query } = usePlace();
  const [words, setWords] = useState(query.get("words") ?? "");
  const top = useRef<HTMLDivElement>(null);
  const again = (piece: Piece) => {
    setWords(piece.says);
    window.scrollTo(0, 0);
    top.current?.querySelector("textarea")?.focus();
  };
  return (
    <>
      <div ref={top}>{models.length > 0 && <Compose models={models} words={words} onWords={setWords} onBuy={onBuy} />}</div>
      <Yours models={models} onAgain={again} />
    </>
  );
}
