/**
 * Errors of this package.
 *
 * DulyError
 * ├── ApiError                   the service returned an error
 * │   ├── InvalidRequestError    400, 413, 415, 422
 * │   ├── NotAuthenticatedError  401
 * │   ├── NotAllowedError        403
 * │   ├── NotFoundError          404
 * │   ├── ConflictError          409
 * │   ├── TooManyRequestsError   429
 * │   └── UnavailableError       502, 503, 504
 * ├── UnreachableError           the service did not respond
 * ├── WaitTimeoutError           the job has not ended in time
 * ├── JobNotCompletedError       the job failed or was cancelled
 * └── SignatureError             the webhook must not be trusted
 */

import type { components } from "./schema.js";
import type { UnsuccessfulJob } from "./types.js";

export type ErrorDetails = Partial<components["schemas"]["ErrorDetails"]>;

/** Failed call. The message is one sentence for a person. */
export class DulyError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

export interface ApiErrorContent {
  status: number;
  code: string;
  message: string;
  details: ErrorDetails;
  retryAfterSeconds: number | undefined;
  requestId: string | undefined;
}

/** Error that the service returned. */
export class ApiError extends DulyError {
  /** HTTP status. */
  readonly status: number;
  /** Error code, such as `UNKNOWN_JOB_TYPE`; `HTTP_502` if another program than Duly responded. */
  readonly code: string;
  readonly details: ErrorDetails;
  /** Pause that the service requests before the next try. */
  readonly retryAfterSeconds: number | undefined;
  /** Id of the request in the log of the service. */
  readonly requestId: string | undefined;

  constructor(content: ApiErrorContent) {
    super(content.message);
    this.status = content.status;
    this.code = content.code;
    this.details = content.details;
    this.retryAfterSeconds = content.retryAfterSeconds;
    this.requestId = content.requestId;
  }

  /** True if the same call may succeed later. */
  get retryable(): boolean {
    return this.details.retryable ?? false;
  }

  /** Remedy, if the service names one. */
  get remedy(): string | undefined {
    return this.details.remedy;
  }

  /** Errors of an invalid request, by path: `parameters.startDate`. */
  get errors(): { path: string; message: string }[] {
    return this.details.errors ?? [];
  }
}

/** Request that the service cannot accept as it is. */
export class InvalidRequestError extends ApiError {}
/** API key that is missing, unknown, revoked or expired. */
export class NotAuthenticatedError extends ApiError {}
/** API key without the scope that the call needs; `details.scope` names it. */
export class NotAllowedError extends ApiError {}
/** Resource that does not exist, or that belongs to another tenant. */
export class NotFoundError extends ApiError {}
/** Call that the current state of the resource does not allow. */
export class ConflictError extends ApiError {}
/** Limit on submissions, or on the requests of the API key, that is reached. */
export class TooManyRequestsError extends ApiError {}
/** Service that is stopping, overloaded or without its database, or a proxy that does not reach it. */
export class UnavailableError extends ApiError {}

const BY_STATUS: Record<number, typeof ApiError> = {
  400: InvalidRequestError,
  401: NotAuthenticatedError,
  403: NotAllowedError,
  404: NotFoundError,
  409: ConflictError,
  413: InvalidRequestError,
  415: InvalidRequestError,
  422: InvalidRequestError,
  429: TooManyRequestsError,
  502: UnavailableError,
  503: UnavailableError,
  504: UnavailableError,
};

/** Returns the error of the class for its status. */
export function apiError(content: ApiErrorContent): ApiError {
  const Class = BY_STATUS[content.status] ?? ApiError;
  return new Class(content);
}

/** Service that does not respond at `url`, or a connection that stayed broken. `cause` is the error of `fetch`. */
export class UnreachableError extends DulyError {
  readonly url: string;

  constructor(url: string, reason: string, options?: ErrorOptions) {
    super(`no service at ${url}: ${reason}`, options);
    this.url = url;
  }
}

/** Job that has not ended within the timeout of the caller. It continues to run. */
export class WaitTimeoutError extends DulyError {
  readonly jobId: string;

  constructor(jobId: string, seconds: number) {
    super(`job ${jobId} has not ended within ${seconds} s`);
    this.jobId = jobId;
  }
}

/** Job that failed or was cancelled. */
export class JobNotCompletedError extends DulyError {
  readonly job: UnsuccessfulJob;
  /** Code of the job's error, such as `TASK_FAILED`. */
  readonly code: string;

  constructor(job: UnsuccessfulJob) {
    super(
      `job ${job.jobId} ${job.status === "failed" ? "failed" : "was cancelled"}: ${job.error?.message ?? job.status}`,
    );
    this.job = job;
    this.code = job.error?.code ?? job.status.toUpperCase();
  }
}

/** Webhook that must not be trusted. The message gives the reason and contains no secret. */
export class SignatureError extends DulyError {}
