export type { BatchOrder, BatchResult } from "./batches.js";
export { Connection, type ConnectionOptions, type StreamOptions, type Token } from "./connection.js";
export * from "./errors.js";
export { frameReader, type Frame } from "./frames.js";
export { Headrace, isEnded, type Input, type SubmitOptions } from "./headrace.js";
export type {
  CallOptions, components, Credits, HeadraceEvent, ItemOf, Job, JobRequest, ListPath, Method, Model, Output, PathFor, paths,
  Problem, Quote, RequestOptions, Result, Schemas,
} from "./types.js";
export { backoff, pause } from "./waiting.js";
export { verifyWebhook, WebhookError, type VerifyOptions, type WebhookMessage } from "./webhooks.js";
