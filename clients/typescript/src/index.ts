/**
 * Client for Duly: submit jobs, wait for them, follow their events, and verify webhooks.
 *
 * const client = new Client({ url: "http://127.0.0.1:8000" });
 * const job = await client.submit("report-generation", { startDate: "2015-01-01", endDate: "2015-12-31" });
 * console.log(await client.result(job));
 */

export { Client } from "./client.js";
export {
  ApiError,
  ConflictError,
  DulyError,
  type ErrorDetails,
  InvalidRequestError,
  JobNotCompletedError,
  NotAllowedError,
  NotAuthenticatedError,
  NotFoundError,
  SignatureError,
  TooManyRequestsError,
  UnavailableError,
  UnreachableError,
  WaitTimeoutError,
} from "./errors.js";
export type { JobFilter, StreamFilter } from "./filters.js";
export { parseJson, stringifyJson } from "./json.js";
export type { ListOptions } from "./resources.js";
export type { components, operations, paths } from "./schema.js";
export { FrameStream, type StreamOptions } from "./streams.js";
export type { BatchOptions, LinesOptions, SubmitOptions } from "./submissions.js";
export { type CallOptions, type ClientOptions, DEFAULT_URL } from "./transport.js";
export type * from "./types.js";
export type { JobUpdate, WaitOptions } from "./waiting.js";
export {
  type VerifyOptions,
  verifyWebhook,
  type WebhookEvent,
  type WebhookHeaders,
  type WebhookKeys,
} from "./webhooks.js";
