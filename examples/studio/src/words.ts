/** What the studio says of things. Pure. */
import { HeadraceError, PaymentRequiredError, RateLimitedError, UnreachableError, type Job, type Model, type Schemas } from "@headrace/client";

export type Kind = Model["kind"];

export const KINDS: Record<Kind, { one: string; many: string; ask: string; icon: string }> = {
  image: { one: "Picture", many: "Pictures", ask: "A fishing harbour at dawn, mist lifting off the water, oil on board", icon: "image" },
  video: { one: "Film", many: "Films", ask: "Slow push-in over a harbour at dawn", icon: "film" },
  text: { one: "Sentence", many: "Texts", ask: "A mill at the end of a long canal", icon: "pen" },
  speech: { one: "Speech", many: "Sounds", ask: "The water turns the wheel, and the wheel pays its way.", icon: "speech" },
};

export const credits = (count: number): string => `${count} ${count === 1 ? "credit" : "credits"}`;

/** A time as people say it. */
export function ago(at: string, now = Date.now()): string {
  const minutes = Math.floor((now - Date.parse(at)) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(at).toLocaleDateString(undefined, { day: "numeric", month: "short" });
}

/** The words that somebody ordered with. */
export function promptOf(job: Pick<Job, "input" | "input_erased_at">): string {
  const said = job.input["prompt"] ?? job.input["text"];
  return typeof said === "string" && said ? said : job.input_erased_at ? "(forgotten)" : "Untitled";
}

/** How far a job is, in a few words. */
export function sayProgress(job: Job): string {
  if (job.cancel_requested) return "Being stopped";
  if (job.status === "running") return job.progress ? `Being made, ${job.progress} %` : "Being made";
  const { position, estimate_seconds: seconds } = job.waiting ?? {};
  const place = position == null ? "In line" : position <= 1 ? "Next in line" : `No. ${position} in line`;
  return seconds ? `${place}, ${seconds} s` : place;
}

const FAILED: Record<string, string> = {
  timed_out: "it took too long",
  input_refused: "it was refused as not allowed",
  rejected: "it was refused as not allowed",
};

/** A model's name. */
export const nameOf = (models: Model[], id: string): string => models.find((each) => each.id === id)?.name ?? id;

/** Why nothing came of a job, kindly. */
export const sayFailure = (job: Job): string => `Not made: ${FAILED[job.error?.code ?? ""] ?? "something went wrong where it is made"}.`;

export const STATES: Record<Job["status"], string> = {
  queued: "In line", running: "Being made", succeeded: "Made", failed: "Not made", canceled: "Stopped",
};

/** What a job cost, or will. */
export function sayCost(job: Job): string {
  const { reserved, charged } = job.credits;
  if (job.ended_at === null) return `${reserved} held`;
  if (charged) return credits(charged);
  return reserved ? `${reserved} given back` : "nothing";
}

/** Why something was refused. */
export function sayError(error: unknown): string {
  if (error instanceof PaymentRequiredError) return "That costs more credits than you have.";
  if (error instanceof RateLimitedError) return "That was a little fast. Wait a moment, then try again.";
  if (error instanceof UnreachableError) return "We cannot be reached just now. Check your connection, then try again.";
  if (error instanceof HeadraceError) {
    if (error.code === "invalid_input" || error.status === 422) return error.message.replace(/^input\.(\w+)/, (_, name: string) => `“${name}”`) + ".";
    return error.retryable ? "That did not work just now. Try again in a moment." : error.message;
  }
  return "That did not work. Try again.";
}

/** Something that was made, wherever it was read. */
export interface Piece {
  id: string;
  kind: Kind;
  url: string;
  thumbnail: string | null;
  says: string;
  model: string;
  at: string;
  seconds: number | null;
  size: string | null;
  job: string | null;
  cost: number | null;
  liked: boolean | null;
}

const kindOf = (mediaType: string): Kind =>
  mediaType.startsWith("image/") ? "image" : mediaType.startsWith("video/") ? "video" : mediaType.startsWith("audio/") ? "speech" : "text";
const sizeOf = ({ width, height }: { width: number | null; height: number | null }) => (width && height ? `${width} × ${height}` : null);

/** What came of a job, one by one. */
export const piecesOf = (job: Job): Piece[] =>
  job.outputs.filter((output) => output.status === "stored").map((output) => ({
    id: output.id, kind: kindOf(output.media_type), url: output.url, thumbnail: output.thumbnail_url, says: promptOf(job), model: job.model,
    at: job.created_at, seconds: output.duration_seconds, size: sizeOf(output), job: job.id, cost: job.credits.charged, liked: null,
  }));

export const pieceOf = (item: Schemas["Item"]): Piece => ({
  id: item.id, kind: kindOf(item.media_type), url: item.url, thumbnail: item.thumbnail_url, says: item.title ?? item.prompt ?? "Untitled",
  model: item.model, at: item.created_at, seconds: item.duration_seconds, size: sizeOf(item), job: item.job, cost: null, liked: item.liked,
});

/** Only what this origin serves is shown, whatever an answer says. */
export const safe = (url: string): string => (new URL(url, location.href).origin === location.origin ? url : "");
