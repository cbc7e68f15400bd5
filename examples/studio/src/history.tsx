/** Every order, with what became of it. */
import type { Job, Model } from "@headrace/client";
import { useJobs } from "@headrace/react";
import { useState } from "react";
import { Heading, Icon, Trouble } from "./parts.js";
import { ago, nameOf, promptOf, sayCost, sayError, sayFailure, sayProgress, STATES } from "./words.js";

const said = (job: Job) => (job.status === "failed" ? sayFailure(job) : job.ended_at ? "" : sayProgress(job));

export function History({ models }: { models: Model[] }) {
  const [status, setStatus] = useState("");
  const [model, setModel] = useState("");
  const { jobs, loading, error, hasMore, loadMore } = useJobs({
    ...(status ? { status: status as Job["status"] } : {}), ...(model ? { model } : {}),
  });
  const [busy, setBusy] = useState(false);
  const more = () => (setBusy(true), loadMore().catch(() => undefined).finally(() => setBusy(false)));
  return (
    <section className="grid" aria-labelledby="view">
      <div className="view-head"><Heading><span id="view">History</span></Heading>
        <div className="row">
          <select className="in" style={{ width: "auto" }} aria-label="State" value={status} onChange={(event) => setStatus(event.target.value)}>
            <option value="">Every state</option>
            {Object.entries(STATES).map(([name, word]) => <option key={name} value={name}>{word}</option>)}
          </select>
          <select className="in" style={{ width: "auto" }} aria-label="Made with" value={model} onChange={(event) => setModel(event.target.value)}>
            <option value="">Everything</option>
            {models.map((each) => <option key={each.id} value={each.id}>{each.name}</option>)}
          </select>
        </div></div>
      {error && <Trouble text={sayError(error)} />}
      {!loading && !jobs.length ? <div className="empty"><h2>No such orders</h2><p>{status || model ? "Choose another state or model." : "What you order is listed here."}</p></div> : (
        <div className="sheet-of"><table aria-busy={loading}>
          <thead><tr><th scope="col">Order</th><th scope="col" className="w-model md">Made with</th><th scope="col" className="w-state">State</th>
            <th scope="col" className="w-when md">Ordered</th><th scope="col" className="w-credits num">Credits</th></tr></thead>
          <tbody>{jobs.map((job) => (
            <tr key={job.id}>
              <td><div className="cut" title={promptOf(job)}>{promptOf(job)}</div>{said(job) && <small className="cut">{said(job)}</small>}</td>
              <td className="md"><div className="cut">{nameOf(models, job.model)}</div></td>
              <td><span className={`st is-${job.status}`}><Icon name={job.status} />{STATES[job.status]}</span></td>
              <td className="md">{ago(job.created_at)}</td><td className="num">{sayCost(job)}</td>
            </tr>
          ))}</tbody>
        </table></div>
      )}
      {hasMore && <div className="more"><button className="btn" onClick={() => void more()} disabled={busy}>Show older</button></div>}
    </section>
  );
}
