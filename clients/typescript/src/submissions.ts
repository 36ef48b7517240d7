/** Submitting jobs, with an idempotency key that is kept over repetitions. */

import { randomId } from "./json.js";
import type { CallOptions, RequestOptions, Transport } from "./transport.js";
import type { AcceptedBatch, AcceptedJob, Submission } from "./types.js";

interface SubmissionOptions extends CallOptions {
  /** Key under which the service records this submission once. Default: a random one for each call. */
  idempotencyKey?: string | undefined;
  /** Id that the jobs, their events and webhooks carry. */
  correlationId?: string | undefined;
}

export type SubmitOptions = Omit<Submission, "type" | "parameters"> &
  SubmissionOptions & {
    /** Id of the job: a UUIDv7 made by the caller. The same submission again returns the same job. */
    jobId?: string | undefined;
  };

export interface BatchOptions extends SubmissionOptions {
  name?: string | undefined;
  /** Job to submit once all jobs of the batch have ended. */
  then?: Submission | undefined;
}

export type LinesOptions = SubmissionOptions & { name?: string | undefined };

export function submit(
  transport: Transport,
  type: string,
  parameters: unknown,
  options: SubmitOptions,
): Promise<AcceptedJob> {
  const { idempotencyKey, correlationId, signal, jobId, ...members } = options;
  const request = {
    content: { ...members, type, ...(parameters === undefined ? {} : { parameters }) },
    ...once({ idempotencyKey, correlationId, signal }),
  };
  const accepted =
    jobId === undefined
      ? transport.json("post", "/api/v1/jobs", request)
      : transport.json("put", "/api/v1/jobs/{jobId}", { ...request, path: { jobId } });
  return accepted as Promise<AcceptedJob>;
}

export function submitMany(
  transport: Transport,
  jobs: readonly Submission[],
  { name, then, ...options }: BatchOptions,
): Promise<AcceptedBatch> {
  return transport.json("post", "/api/v1/jobs/batch", { content: { jobs, name, then }, ...once(options) });
}

/** Submits a batch as NDJSON. */
export async function submitLines(
  transport: Transport,
  jobs: Iterable<Submission> | AsyncIterable<Submission>,
  { name, ...options }: LinesOptions,
): Promise<AcceptedBatch> {
  const { headers, ...request } = once(options);
  const body = sendsStreams() ? streamOf(lines(transport, jobs)) : await blobOf(lines(transport, jobs));
  const reply = await transport.send("post", "/api/v1/jobs/batch", {
    ...request,
    query: { name },
    body,
    headers: { "Content-Type": "application/x-ndjson", ...headers },
    // A stream can be read only once.
    repeatable: body instanceof Blob,
    timeoutSeconds: LINES_TIMEOUT_SECONDS,
  });
  return transport.read(reply) as AcceptedBatch;
}

// The whole upload is bounded by this; the service bounds its least rate.
const LINES_TIMEOUT_SECONDS = 3_600;

function once({ idempotencyKey = randomId(), correlationId, signal }: SubmissionOptions): RequestOptions {
  const headers = { "Idempotency-Key": idempotencyKey, "X-Correlation-Id": correlationId };
  return { headers, signal, repeatable: true };
}

/** Returns whether `fetch` sends a stream over HTTP/1.1, which it does outside of browsers. */
function sendsStreams(): boolean {
  return typeof (globalThis as { process?: unknown }).process === "object";
}

async function* lines(transport: Transport, jobs: Iterable<Submission> | AsyncIterable<Submission>) {
  for await (const job of jobs) yield `${transport.stringify(job)}\n`;
}

function streamOf(lines: AsyncGenerator<string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await lines.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    async cancel() {
      await lines.return(undefined);
    },
  });
}

async function blobOf(lines: AsyncGenerator<string>): Promise<Blob> {
  const pieces: string[] = [];
  for await (const line of lines) pieces.push(line);
  return new Blob(pieces);
}
