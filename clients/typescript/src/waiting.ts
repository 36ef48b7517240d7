/**
 * Waiting for the end of a job: by its event stream; by long polls where a proxy holds streams back; by polls where it
 * cuts long polls. The sequence of the job connects them, so that a step down neither misses nor repeats anything.
 */

import {
  ApiError,
  NotAllowedError,
  NotAuthenticatedError,
  NotFoundError,
  UnreachableError,
  WaitTimeoutError,
} from "./errors.js";
import { errorOf, isRefusedForNow, type Reply, retryAfterSecondsOf } from "./replies.js";
import { FrameStream } from "./streams.js";
import { Retries, sleep, TimeLimit } from "./timing.js";
import type { RequestOptions, Transport } from "./transport.js";
import type { EndedJob, Job } from "./types.js";

const FIRST_BYTE_SECONDS = 5;
const LONG_POLL_SECONDS = 30;
const MOST_CUTS = 2;
// Of a proxy whose service is away or slow.
const GATEWAY_ERRORS = [502, 504];
// Between long polls of a job that reports progress often.
const SHORTEST_PAUSE_SECONDS = 0.1;
// The service names 30 s at most, a proxy may name more.
const LONGEST_PAUSE_SECONDS = 60;

/** State of a job while it is waited for. */
export interface JobUpdate {
  jobId: string;
  /** Number of the newest event: rises from update to update. */
  sequence: number;
  progress: number | null;
  message: string | null;
}

export interface WaitOptions {
  /** Timeout of the whole wait, in seconds. Default: none. */
  timeoutSeconds?: number | undefined;
  /** Ends the wait; its reason is thrown. The job continues to run. */
  signal?: AbortSignal | undefined;
  /** Called for each change of the progress, in order. Polls may skip some. */
  onProgress?: ((update: JobUpdate) => void) | undefined;
  /**
   * Seconds after which a stream that delivers nothing counts as held back by a proxy; the service sends the first line
   * at once. Default: 5.
   */
  firstByteSeconds?: number | undefined;
}

/**
 * Returns the job once it has ended.
 *
 * @throws {WaitTimeoutError} The timeout has passed.
 */
export async function waitForEnd<Result>(
  transport: Transport,
  jobId: string,
  options: WaitOptions,
): Promise<EndedJob<Result>> {
  const limit = new TimeLimit(options.signal);
  if (options.timeoutSeconds !== undefined) limit.start(options.timeoutSeconds * 1000);
  try {
    return await new Waiting<Result>(transport, jobId, limit.signal, options).end();
  } catch (error) {
    if (limit.expired) throw new WaitTimeoutError(jobId, options.timeoutSeconds ?? 0);
    throw error;
  } finally {
    limit.end();
  }
}

class Waiting<Result> {
  readonly #retries = new Retries();
  #sequence = -1;
  #pauseSeconds = 0;
  #told = JSON.stringify([null, null]);

  constructor(
    private readonly transport: Transport,
    private readonly jobId: string,
    private readonly signal: AbortSignal,
    private readonly options: WaitOptions,
  ) {}

  async end(): Promise<EndedJob<Result>> {
    return this.#ended(await this.#read()) ?? (await this.#followToEnd()) ?? (await this.#pollToEnd());
  }

  /** Follows the stream. Returns undefined if a proxy holds it back, breaks or refuses it. */
  async #followToEnd(): Promise<EndedJob<Result> | undefined> {
    for (;;) {
      try {
        for await (const frame of this.#stream()) {
          if (frame.type === "job_progress") this.#tell(frame);
          this.#sequence = Math.max(this.#sequence, frame.sequence);
        }
      } catch (error) {
        if (mayPoll(error)) return undefined;
        throw error;
      }
      const job = this.#ended(await this.#read());
      // A job that was retried meanwhile has not ended.
      if (job) return job;
    }
  }

  /** Reads the job by long polls, and by polls if these are cut off repeatedly. */
  async #pollToEnd(): Promise<EndedJob<Result>> {
    let cuts = 0;
    for (;;) {
      const reply = cuts < MOST_CUTS ? await this.#longPoll() : undefined;
      cuts = reply ? 0 : cuts + 1;
      const job = this.#ended(reply ?? (await this.#read()));
      if (job) return job;
      await sleep((reply ? SHORTEST_PAUSE_SECONDS : this.#pauseSeconds) * 1000, this.signal);
    }
  }

  #stream(): FrameStream<Result> {
    const target = {
      path: "/api/v1/jobs/{jobId}/events/stream",
      parameters: { jobId: this.jobId },
      endless: false,
      firstByteSeconds: this.options.firstByteSeconds ?? FIRST_BYTE_SECONDS,
    } as const;
    const options = { lastEventId: String(this.#sequence), signal: this.signal };
    return new FrameStream(this.transport, target, options, true);
  }

  /** Returns the reply of a long poll, or undefined if it was cut off, refused or answered early. */
  async #longPoll(): Promise<Reply | undefined> {
    const began = performance.now();
    try {
      const reply = await this.#get({
        query: { wait: LONG_POLL_SECONDS },
        headers: { "If-None-Match": `"${this.#sequence}"` },
        timeoutSeconds: LONG_POLL_SECONDS + 10,
        repeatable: false,
      });
      const early = reply.status === 304 && performance.now() - began < (LONG_POLL_SECONDS - 1) * 1000;
      return early || reply.status === 429 || reply.status >= 500 ? undefined : reply;
    } catch (error) {
      if (error instanceof UnreachableError) return undefined;
      throw error;
    }
  }

  /** Reads the job, through restarts and refusals. */
  async #read(): Promise<Reply> {
    for (;;) {
      try {
        const reply = await this.#get({});
        this.#retries.connected();
        if (!isRefusedForNow(reply) && !GATEWAY_ERRORS.includes(reply.status)) return reply;
        this.#retries.request((retryAfterSecondsOf(reply.headers) ?? 0) * 1000);
        this.#retries.failed(errorOf(reply));
      } catch (error) {
        if (!(error instanceof UnreachableError)) throw error;
        this.#retries.failed(error);
      }
      await this.#retries.pause(this.signal);
    }
  }

  #get(options: RequestOptions): Promise<Reply> {
    const path = { jobId: this.jobId };
    return this.transport.send("get", "/api/v1/jobs/{jobId}", { ...options, path, signal: this.signal });
  }

  /** Returns the job of a reply if it has ended. */
  #ended(reply: Reply): EndedJob<Result> | undefined {
    this.#retries.succeeded();
    this.#pauseSeconds = Math.min(retryAfterSecondsOf(reply.headers) ?? 1, LONGEST_PAUSE_SECONDS);
    if (reply.status === 304) return undefined;
    const job = this.transport.read(reply) as Job<Result>;
    if (job.status !== "pending" && job.status !== "running") return job;
    this.#tell({ ...job, message: job.progressMessage });
    this.#sequence = Math.max(this.#sequence, job.sequence);
    return undefined;
  }

  #tell({ jobId, sequence, progress, message }: JobUpdate): void {
    const told = JSON.stringify([progress, message]);
    if (sequence <= this.#sequence || told === this.#told) return;
    this.#told = told;
    this.options.onProgress?.({ jobId, sequence, progress, message });
  }
}

/** Returns whether polls may succeed after this error of a stream. */
function mayPoll(error: unknown): boolean {
  if (error instanceof ApiError)
    return ![NotFoundError, NotAuthenticatedError, NotAllowedError].some((refused) => error instanceof refused);
  return error instanceof UnreachableError;
}
