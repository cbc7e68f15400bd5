// Types that must hold, and mistakes that must not compile: `tsc -p tests` reads this, nobody runs it.
import { Connection, Headrace, type Job, type Result, type Schemas } from "@headrace/client";
import { HeadraceProvider, useCredits, useEvents, useGenerate, useJob, useJobs } from "@headrace/react";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>) => {};

export async function calls(api: Connection) {
  const job = await api.request("GET", "/v1/jobs/{job_id}", { path: { job_id: "x" } });
  same<typeof job, Job>(true);
  same<Result<"POST", "/v1/jobs">, Job>(true);
  same<Result<"DELETE", "/v1/files/{file_id}">, undefined>(true);
  const credits = await api.request("GET", "/v1/credits");
  credits.available.toFixed();
  await api.request("GET", "/v1/jobs", { query: { status: "failed", limit: 5 } });
  for await (const link of api.iterate("/v1/collections/{collection_id}/links", { path: { collection_id: "x" } })) link.views.toFixed();
  // @ts-expect-error -- a path that is none
  await api.request("GET", "/v1/nothing");
  // @ts-expect-error -- a method that the path does not know
  await api.request("PUT", "/v1/jobs");
  // @ts-expect-error -- a value of the path is missing
  await api.request("GET", "/v1/jobs/{job_id}");
  // @ts-expect-error -- a status that is none
  await api.request("GET", "/v1/jobs", { query: { status: "lost" } });
  // @ts-expect-error -- an order without a model
  await api.request("POST", "/v1/jobs", { body: { input: {} } });
  // @ts-expect-error -- an order without a body
  await api.request("POST", "/v1/jobs");
  // @ts-expect-error -- a field that answers do not have
  credits.balance;
  // @ts-expect-error -- no list
  api.iterate("/v1/credits");
}

export async function client() {
  const api = new Headrace({ url: "https://api.example.com", getToken: async () => ({ token: "t", expires_at: "2026-01-01T00:00:00Z" }) });
  const job = await api.jobs.run("sketch-image", { prompt: "a harbour" }, { labels: { customer: "acme" }, queue: "batch" });
  same<(typeof job)["status"], Job["status"]>(true);
  const item: Schemas["Item"] = await api.gallery.like("videos", "x");
  // @ts-expect-error -- a gallery that is none
  await api.gallery.like("texts", item.id);
  // @ts-expect-error -- labels are texts
  await api.jobs.submit("m", {}, { labels: { customer: 5 } });
}

export function Page() {
  const { jobs, hasMore, loadMore } = useJobs({ status: "running" });
  const { job } = useJob(jobs[0]?.id);
  const credits = useCredits();
  const { status, submit, quote } = useGenerate("sketch-image");
  useEvents((event) => console.log(event.type), { types: ["job.succeeded"] });
  // @ts-expect-error -- it may not be known yet
  job.id;
  // @ts-expect-error -- a filter that is none
  useJobs({ state: "running" });
  // @ts-expect-error -- no such state
  if (status === "lost") return null;
  return (
    <HeadraceProvider url="/" getToken={() => "t"} session="me">
      <button onClick={() => void submit({ prompt: "x" })} disabled={!hasMore}>{quote?.credits} of {credits?.available}</button>
      <button onClick={() => void loadMore()}>more</button>
    </HeadraceProvider>
  );
}
