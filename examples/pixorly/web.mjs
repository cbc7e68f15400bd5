// What Pixorly's pages do, with @headrace/client, as a page or a node script does it: with Clerk's session token, and no key. Where the pages
// used Convex, each `useQuery` and `useMutation` is the call below it; in React they are hooks of @headrace/react, which hear all of it on
// one stream: useCredits(), useJobs(), useJob(id), useGenerate(model).
import { Headrace } from "@headrace/client";

const url = process.env.HEADRACE_URL;
const headrace = new Headrace({ url, token: process.env.SESSION_TOKEN });
const say = (call, result) => console.log(JSON.stringify({ call, result }));

// useQuery(api.users.getProfile)
const me = await headrace.request("GET", "/v1/me");
say("request GET /v1/me", { plan: me.plan });

// useQuery(api.credits.getBalance)
const { available } = await headrace.credits.get();
say("credits.get", { same: available === me.balance.available });

// useMutation(api.jobs.createJob), with its price before
const order = { prompt: "a heron at noon", width: 256, height: 256 };
const price = await headrace.quote("flux-schnell", order);
say("quote", { credits: price.credits, enough: price.enough });
const { id } = await headrace.jobs.submit("flux-schnell", order);
say("jobs.submit", { ordered: Boolean(id) });

// useQuery(api.jobs.getJob, { jobId }): the job as it is, then every change, to its end. Here in a page for which nobody is signed in, such
// as one that was sent to a friend: it has a token for this job, for minutes.
const { token } = await headrace.tokens.create({ may: ["read", "stream"], job: id });
const visitor = new Headrace({ url, token });
const heard = [];
for await (const event of visitor.jobs.stream(id)) heard.push(event.type);
say("jobs.stream", { first: heard.at(0) });
const job = await visitor.jobs.get(id);
say("jobs.get", { status: job.status, charged: job.credits.charged });
say("credits.get of a visitor", { refused: await visitor.credits.get().catch((error) => error.code) });

// useQuery(api.jobs.listJobs)
for await (const each of headrace.jobs.list()) {
  say("jobs.list", { newest: each.id === id });
  break;
}

// useQuery(api.images.listByJob, { jobId }), and <img src>
for await (const item of headrace.gallery.list("images", { job: id })) say("gallery.list", { prompt: item.prompt });
const picture = await visitor.outputs.download(job.outputs[0]);
say("outputs.download", { type: picture.type });
