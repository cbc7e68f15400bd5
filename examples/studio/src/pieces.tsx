/** What is being made and what was made, as cards. */
import { useHeadrace, useJob } from "@headrace/react";
import type { Job } from "@headrace/client";
import { memo, type ReactNode, useEffect, useState } from "react";
import { Icon, say } from "./parts.js";
import { server } from "./server.js";
import { ago, credits, KINDS, type Kind, type Piece, promptOf, safe, sayCost, sayError, sayFailure, sayProgress } from "./words.js";

const texts = new Map<string, string>(); // by output: each is read once

/** A text that was made. */
export function useText(piece: Piece): string | undefined {
  const [text, setText] = useState(texts.get(piece.id));
  useEffect(() => {
    if (piece.kind !== "text" || texts.has(piece.id)) return;
    const leaving = new AbortController();
    fetch(safe(piece.url), { signal: leaving.signal }).then((answer) => answer.text()).then((read) => (texts.set(piece.id, read), setText(read)), () => undefined);
    return () => leaving.abort();
  }, [piece]);
  return texts.get(piece.id) ?? text;
}

/** A text while it is written: it comes on the stream of its own job. */
function useWriting(job: Job, on: boolean): string {
  const api = useHeadrace();
  const [text, setText] = useState("");
  const { id } = job;
  useEffect(() => {
    if (!on) return;
    const leaving = new AbortController();
    const read = async () => {
      for await (const { type, data } of api.events(`/v1/jobs/${id}/events`, { signal: leaving.signal })) {
        if (type === "job.text") setText((known) => known.slice(0, data["position"]) + data["text"]);
        if (/^job\.(succeeded|failed|canceled)$/.test(type)) return;
      }
    };
    read().catch(() => undefined); // the text comes with the result as well
    return () => leaving.abort();
  }, [api, id, on]);
  return text;
}

function Shown({ piece }: { piece: Piece }): ReactNode {
  const text = useText(piece);
  if (piece.kind === "text") return <span className="sheet">{text ?? ""}</span>;
  if (piece.kind === "speech") return <span className="sound"><Icon name="speech" /></span>;
  return piece.thumbnail ? <img src={safe(piece.thumbnail)} alt="" width="400" height="400" loading="lazy" decoding="async" /> : <span className="sound"><Icon name={KINDS[piece.kind].icon} /></span>;
}

/** One thing that was made; pressed, it is shown large. */
export const Card = memo(function Card({ piece, onOpen }: { piece: Piece; onOpen: (piece: Piece) => void }) {
  const length = piece.seconds ? `${Math.round(piece.seconds)} s` : null;
  return (
    <li className="piece">
      <button className="pic" onClick={() => onOpen(piece)}>
        <span className="sr">{KINDS[piece.kind].one}: {piece.says}</span>
        <span aria-hidden="true"><Shown piece={piece} />{length && <span className="kind"><Icon name={KINDS[piece.kind].icon} />{length}</span>}</span>
      </button>
      <span className="cut" title={piece.says}>{piece.says}</span>
      <small><span>{ago(piece.at)}</span>{piece.cost != null && <span>{credits(piece.cost)}</span>}</small>
    </li>
  );
});

/** A job that has not ended: how far it is, and the way to stop it. */
export function Doing({ job, kind }: { job: Job; kind: Kind | undefined }) {
  const api = useHeadrace();
  const now = useJob(job.id).job ?? job;
  const text = useWriting(job, kind === "text");
  const [stopping, setStopping] = useState(false);
  const stop = () => {
    setStopping(true);
    api.request("POST", "/v1/jobs/{job_id}/cancel", { path: { job_id: job.id } }).catch((error) => (setStopping(false), say(sayError(error)))); // what becomes of it, the stream tells
  };
  return (
    <li className="piece" data-job={job.id}>
      <div className="pic"><div className="doing">
        {text && <span className="sheet">{text}</span>}
        <div className="row"><span className="soft">{sayProgress(now)}</span>
          <button className="btn small" onClick={stop} disabled={stopping || now.cancel_requested} aria-label={`Stop: ${promptOf(job)}`}>Stop</button></div>
        <progress className="bar" value={now.progress ?? 0} max={100} aria-label={`Progress of “${promptOf(job)}”`} />
      </div></div>
      <span className="cut" title={promptOf(job)}>{promptOf(job)}</span>
      <small><span>{kind ? KINDS[kind].one : ""}</span><span>{sayCost(now)}</span></small>
    </li>
  );
}

/** A job of which nothing came. */
export function Sad({ job }: { job: Job }) {
  const [busy, setBusy] = useState(false);
  const again = () => {
    setBusy(true);
    server.jobs.retry(job.id).catch((error) => say(sayError(error))).finally(() => setBusy(false));
  };
  return (
    <li className="piece">
      <div className="pic"><div className="doing sad"><Icon name="failed" /><span>{sayFailure(job)}</span>
        <button className="btn small" onClick={again} disabled={busy} aria-label={`Try again: ${promptOf(job)}`}>Try again</button></div></div>
      <span className="cut" title={promptOf(job)}>{promptOf(job)}</span>
      <small><span>{credits(job.credits.reserved)} given back</span></small>
    </li>
  );
}
