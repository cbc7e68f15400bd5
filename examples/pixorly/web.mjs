// What Pixorly's pages do, with @headrace/client, as a page or a node script does it. It has a token for a page, and no key. Where the
// pages used Convex, each `useQuery` and `useMutation` is the call beside it; in React they are hooks of @headrace/react, which are heard of
// the same stream: useCredits(), useJobs(), useJob(id), useGenerate(model).
import { Headrace } from "@headrace/client";

const headrace = new Headrace({ url: process.env.HEADRACE_URL, token: process.env.PAGE_TOKEN });
const say = (call, result) => console.log(JSON.stringify({ call, result }));

// useQuery(api.users.getProfile)
const { plan } = await headrace.request("GET", "/v1/me");
say('request("GET", "/v1/me")', { plan });

// useQuery(api.credits.getBalance)
const before = await headrace.credits.get();
say("credits.get", { plan: before.plan });

// useMutation(api.jobs.createJob), with its price before
const order = { prompt: "a heron at noon", width: 256, height: 256 };
const price = await headrace.quote("flux-schnell", order);
say("quote", { credits: price.credits, enough: price.enough });
const { id } = await headrace.jobs.submit("flux-schnell", order);
say("jobs.submit", {});

// useQuery(api.jobs.getJob, { jobId }): the job as it is, then every change, to its end
const heard = [];
for await (const event of headrace.jobs.stream(id)) heard.push(event.type);
say("jobs.stream", { first: heard[0], last: heard.at(-1) });
const job = await headrace.jobs.get(id);
say("jobs.get", { status: job.status, charged: job.credits.charged });

// useQuery(api.jobs.listJobs)
for await (const each of headrace.jobs.list()) {
  say("jobs.list", { newestIsThis: each.id === id });
  break;
}

// useQuery(api.images.listByJob, { jobId }), and <img src>
for await (const item of headrace.gallery.list("images", { job: id })) say("gallery.list", { prompt: item.prompt });
const picture = await headrace.outputs.download(job.outputs[0]);
say("outputs.download", { type: picture.type });
