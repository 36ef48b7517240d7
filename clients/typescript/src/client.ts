/** Client of one service. */

import { JobNotCompletedError } from "./errors.js";
import { type JobFilter, queryOf, type StreamFilter } from "./filters.js";
import {
  Batches,
  Deliveries,
  items,
  JobTypeCatalogue,
  Keys,
  type ListOptions,
  Queues,
  Schedules,
  Service,
  Tickets,
  Webhooks,
} from "./resources.js";
import type { components } from "./schema.js";
import { FrameStream, type StreamOptions } from "./streams.js";
import {
  type BatchOptions,
  type LinesOptions,
  type SubmitOptions,
  submit,
  submitLines,
  submitMany,
} from "./submissions.js";
import { type CallOptions, type ClientOptions, Transport } from "./transport.js";
import type {
  AcceptedBatch,
  AcceptedJob,
  AnyJobTypes,
  EndedJob,
  Job,
  JobReference,
  JobTypes,
  Submission,
} from "./types.js";
import { type WaitOptions, waitForEnd } from "./waiting.js";

type Schemas = components["schemas"];

/**
 * Client of one service.
 *
 * Calls that are safe to repeat (reads, and submissions by their idempotency key) are repeated a few times if the
 * connection breaks or the service is briefly unavailable. Errors are an `ApiError` if the service returned one, and an
 * `UnreachableError` if it did not respond.
 *
 * @typeParam Types Parameters and results of the job types, by name.
 */
export class Client<Types extends JobTypes<keyof Types> = AnyJobTypes> {
  readonly batches: Batches;
  readonly deliveries: Deliveries;
  readonly jobTypes: JobTypeCatalogue;
  readonly keys: Keys;
  readonly queues: Queues;
  readonly schedules: Schedules;
  readonly service: Service;
  readonly tickets: Tickets;
  readonly webhooks: Webhooks;
  readonly #transport: Transport;

  /** @throws {TypeError} The URL is not an http(s) URL, or the key contains characters that a header cannot carry. */
  constructor(options: ClientOptions = {}) {
    this.#transport = new Transport(options);
    this.batches = new Batches(this.#transport);
    this.deliveries = new Deliveries(this.#transport);
    this.jobTypes = new JobTypeCatalogue(this.#transport);
    this.keys = new Keys(this.#transport);
    this.queues = new Queues(this.#transport);
    this.schedules = new Schedules(this.#transport);
    this.service = new Service(this.#transport);
    this.tickets = new Tickets(this.#transport);
    this.webhooks = new Webhooks(this.#transport);
  }

  /** URL of the service. */
  get url(): string {
    return this.#transport.url;
  }

  /**
   * Submits a job. Returns once it is durable.
   *
   * Repetitions over a broken connection create no second job. Pass an `idempotencyKey` of your own to be safe across
   * restarts of your program as well.
   */
  submit<Type extends keyof Types & string>(
    type: Type,
    parameters?: Types[Type]["parameters"],
    options: SubmitOptions = {},
  ): Promise<AcceptedJob<Types[Type]["result"]>> {
    return submit(this.#transport, type, parameters, options) as Promise<AcceptedJob<Types[Type]["result"]>>;
  }

  /** Submits up to 10,000 jobs: all or none. */
  submitMany(jobs: readonly Submission[], options: BatchOptions = {}): Promise<AcceptedBatch> {
    return submitMany(this.#transport, jobs, options);
  }

  /**
   * Submits any number of jobs, all or none, as they are produced. The source is read once, so that this call is not
   * repeated over a broken connection, except in browsers, which send it as a whole.
   */
  submitLines(
    jobs: Iterable<Submission> | AsyncIterable<Submission>,
    options: LinesOptions = {},
  ): Promise<AcceptedBatch> {
    return submitLines(this.#transport, jobs, options);
  }

  /** Returns the current state of the job. */
  get<Result = unknown>(job: JobReference<Result>, { signal }: CallOptions = {}): Promise<Job<Result>> {
    return this.#transport.json("get", "/api/v1/jobs/{jobId}", { path: path(job), signal }) as Promise<Job<Result>>;
  }

  /**
   * Waits until the job has ended, across restarts of the service and proxies that hold back streams. Returns its
   * state.
   *
   * @throws {WaitTimeoutError} The job has not ended within `timeoutSeconds`.
   */
  wait<Result = unknown>(job: JobReference<Result>, options: WaitOptions = {}): Promise<EndedJob<Result>> {
    return waitForEnd(this.#transport, path(job).jobId, options);
  }

  /**
   * Waits until the job has completed. Returns its result.
   *
   * @throws {JobNotCompletedError} The job failed or was cancelled.
   * @throws {WaitTimeoutError} The job has not ended within `timeoutSeconds`.
   */
  async result<Result = unknown>(job: JobReference<Result>, options: WaitOptions = {}): Promise<Result> {
    const ended = await this.wait(job, options);
    if (ended.status !== "completed") throw new JobNotCompletedError(ended);
    return ended.result;
  }

  /** Follows the events of a job to its end: its history first, or the events after `lastEventId`. */
  stream<Result = unknown>(job: JobReference<Result>, options: StreamOptions = {}): FrameStream<Result> {
    const target = { path: "/api/v1/jobs/{jobId}/events/stream", parameters: path(job), endless: false } as const;
    return new FrameStream(this.#transport, target, options);
  }

  /** Follows the events of all matching jobs, without end: from now on, or after `lastEventId`. */
  streamAll(options: StreamFilter & StreamOptions = {}): FrameStream {
    const target = { path: "/api/v1/events/stream", query: queryOf(options), endless: true } as const;
    return new FrameStream(this.#transport, target, options);
  }

  /** Yields the jobs that match, newest first. */
  list(options: JobFilter & ListOptions = {}): AsyncGenerator<Job, void, void> {
    return items(this.#transport, "/api/v1/jobs", options, { query: queryOf(options) }) as AsyncGenerator<
      Job,
      void,
      void
    >;
  }

  /** Yields the history of the job, oldest event first. */
  events(job: JobReference, options: ListOptions = {}): AsyncGenerator<Schemas["EventBody"], void, void> {
    return items(this.#transport, "/api/v1/jobs/{jobId}/events", options, { path: path(job) });
  }

  /** Yields the lines that the handler of the job logged. */
  logs(job: JobReference, options: ListOptions = {}): AsyncGenerator<Schemas["LogLineBody"], void, void> {
    return items(this.#transport, "/api/v1/jobs/{jobId}/logs", options, { path: path(job) });
  }

  /** Yields the recorded steps of the job, its timers and its signals. */
  steps(job: JobReference, options: ListOptions = {}): AsyncGenerator<Schemas["StepBody"], void, void> {
    return items(this.#transport, "/api/v1/jobs/{jobId}/steps", options, { path: path(job) });
  }

  /** Yields the webhook deliveries of the job. */
  deliveriesOf(job: JobReference, options: ListOptions = {}): AsyncGenerator<Schemas["DeliveryBody"], void, void> {
    return items(this.#transport, "/api/v1/jobs/{jobId}/deliveries", options, { path: path(job) });
  }

  /** Explains why the job waits. */
  why(job: JobReference, { signal }: CallOptions = {}): Promise<Schemas["WhyBody"]> {
    return this.#transport.json("get", "/api/v1/jobs/{jobId}/why", { path: path(job), signal });
  }

  /** Cancels the job: a waiting job at once; a running job once its handler stops. */
  cancel(job: JobReference, { signal }: CallOptions = {}): Promise<Job> {
    const request = { path: path(job), signal };
    return this.#transport.json("post", "/api/v1/jobs/{jobId}/cancel", request) as Promise<Job>;
  }

  /** Runs a failed, cancelled or held job again. `fromStep`: forgets this recorded step and all later ones. */
  retry(job: JobReference, { fromStep, signal }: CallOptions & { fromStep?: string } = {}): Promise<Job> {
    const request = { path: path(job), content: fromStep === undefined ? undefined : { fromStep }, signal };
    return this.#transport.json("post", "/api/v1/jobs/{jobId}/retry", request) as Promise<Job>;
  }

  /**
   * Sends a value to the job, which resumes if it waits for a signal of this name. Safe to repeat: the first signal of
   * a name is kept, and another value under its name is a conflict.
   */
  signal(
    job: JobReference,
    name: string,
    content: unknown = null,
    { signal }: CallOptions = {},
  ): Promise<Schemas["SignalBody"]> {
    const request = { path: { ...path(job), name }, content, repeatable: true, signal };
    return this.#transport.json("post", "/api/v1/jobs/{jobId}/signals/{name}", request);
  }

  /** Cancels all jobs that match. Returns their number. */
  cancelMany(filter: JobFilter, { signal }: CallOptions = {}): Promise<Schemas["CancelledBody"]> {
    const changed = this.#transport.json("post", "/api/v1/jobs/cancel", { query: queryOf(filter), signal });
    return changed as Promise<Schemas["CancelledBody"]>; // and not a count, which `dryRun` returns
  }

  /** Runs all failed jobs that match again, or those with one of `statuses`. Returns their number. */
  retryMany(filter: JobFilter, { signal }: CallOptions = {}): Promise<Schemas["RetriedBody"]> {
    const changed = this.#transport.json("post", "/api/v1/jobs/retry", { query: queryOf(filter), signal });
    return changed as Promise<Schemas["RetriedBody"]>; // and not a count, which `dryRun` returns
  }
}

function path(job: JobReference): { jobId: string } {
  return { jobId: typeof job === "string" ? job : job.jobId };
}
