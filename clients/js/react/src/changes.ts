/** What an event makes of a job, and which jobs a filter means. Pure. */
import type { HeadraceEvent, Job, Output } from "@headrace/client";

export interface JobFilter {
  status?: Job["status"];
  model?: string;
  /** `name:value`, as in GET /v1/jobs. */
  label?: string;
}

export const ended = (job: Job): boolean => job.ended_at !== null;

/** The job after an event; the same one where it tells nothing new. */
export function jobAfter(job: Job, { type, data, created_at }: HeadraceEvent): Job {
  if (ended(job)) return job; // what was only live may come too late
  switch (type) {
    case "job.running":
      return { ...job, status: "running", attempts: data["attempt"] ?? job.attempts, waiting: null };
    case "job.progress":
      return { ...job, status: "running", progress: data["progress"] };
    case "job.waiting":
      return {
        ...job, status: "queued", attempts: data["attempt"] ?? job.attempts,
        waiting: { position: null, reason: data["reason"], estimate_seconds: data["seconds"] ?? null },
      };
    case "job.output": {
      const output = { status: "stored", kept: false, expires_at: null, ...data["output"] } as Output;
      return { ...job, outputs: [...job.outputs.filter((each) => each.id !== output.id), output] };
    }
    case "job.succeeded":
    case "job.failed":
    case "job.canceled":
      return {
        ...job, status: type.slice(4) as Job["status"], ended_at: created_at, waiting: null, error: data["error"] ?? null,
        progress: type === "job.succeeded" ? 100 : job.progress, credits: { ...job.credits, charged: data["credits"] },
      };
    default:
      return job;
  }
}

/** Of two things that were heard of a job, in this order, the one that is known now: an answer may be older than what was heard before it. */
export const newer = (old: Job | undefined, job: Job): Job =>
  old && !ended(job) && (ended(old) || old.attempts > job.attempts) ? old : job;

/** Those that a filter means, newest first: ids are made in the order of time. */
export function matching(jobs: Iterable<Job>, { status, model, label }: JobFilter): Job[] {
  const [name, ...value] = label?.split(":") ?? [];
  return [...jobs]
    .filter((job) => (!status || job.status === status) && (!model || job.model === model)
      && (!name || job.labels[name] === value.join(":")))
    .sort((one, other) => (one.id < other.id ? 1 : -1));
}
