/** Streams of frames, across broken connections and restarts of the service. */

import { UnreachableError } from "./errors.js";
import { errorOf, isRefusedForNow, retryAfterSecondsOf } from "./replies.js";
import { EventStreamParser, type ServerSentEvent } from "./sse.js";
import { Retries, TimeLimit } from "./timing.js";
import type { Query, Transport } from "./transport.js";
import type { JobFrame } from "./types.js";

// The service writes a comment every 15 s at the latest: silence for three times that is a dead connection.
const SILENCE_SECONDS = 45;
const END_FRAMES = new Set(["job_completed", "job_failed", "job_cancelled"]);

export interface StreamOptions {
  /** Id of a frame to resume after. Default: a job's history from its beginning; all jobs from now on. */
  lastEventId?: string | undefined;
  /** Ends the stream; its reason is thrown. */
  signal?: AbortSignal | undefined;
  /** Returns a new ticket for each connection, for pages that have no API key. If it fails, it is called again later. */
  ticket?: (() => string | Promise<string>) | undefined;
  /** Seconds without a byte after which a connection counts as broken. Default: 45. */
  silenceSeconds?: number | undefined;
}

export interface StreamTarget {
  path: "/api/v1/jobs/{jobId}/events/stream" | "/api/v1/events/stream";
  parameters?: Record<string, string>;
  query?: Query;
  /** False: the stream ends with the job. */
  endless: boolean;
  /** Seconds until the first byte; later, the stream counts as held back by a proxy. */
  firstByteSeconds?: number;
}

/** Stream that a proxy holds back: its connection is open, but delivers nothing. */
export class HeldBackError extends UnreachableError {}

/**
 * Frames of a stream, for `for await`. It connects when the loop begins, or with `open`; leaving the loop closes the
 * connection.
 *
 * After a broken connection, a restart of the service or a silence, it connects again after the last frame, so that no
 * frame is missing and none is repeated. It throws an `ApiError` if the service refuses the stream, and an
 * `UnreachableError` if the connection stays broken.
 */
export class FrameStream<Result = unknown> implements AsyncIterableIterator<JobFrame<Result>> {
  readonly #transport: Transport;
  readonly #target: StreamTarget;
  readonly #options: StreamOptions;
  readonly #closing: TimeLimit;
  readonly #retries: Retries;
  readonly #frames: AsyncGenerator<JobFrame<Result>, void, void>;
  #lastEventId: string | undefined;
  /** Frame that `open` waits for, and `next` returns. */
  #first: Promise<IteratorResult<JobFrame<Result>, void>> | undefined;
  #hasPosition: () => void = () => {};
  readonly #positioned = new Promise<void>((resolve) => {
    this.#hasPosition = resolve;
  });
  #ended = false;
  /** True if the newest frame is the end of the job. */
  #jobEnded = false;
  /** True once the current connection has delivered a byte. */
  #delivers = false;

  constructor(transport: Transport, target: StreamTarget, options: StreamOptions, connected = false) {
    this.#transport = transport;
    this.#target = target;
    this.#options = options;
    this.#lastEventId = options.lastEventId;
    this.#closing = new TimeLimit(options.signal);
    this.#retries = new Retries(connected);
    this.#frames = this.#follow();
  }

  /** Id of the newest frame or position: where a later stream continues. */
  get lastEventId(): string | undefined {
    return this.#lastEventId;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<JobFrame<Result>, void>> {
    const next = this.#first ?? this.#frames.next();
    this.#first = undefined;
    return next;
  }

  return(): Promise<IteratorResult<JobFrame<Result>, void>> {
    this.close();
    return this.#frames.return();
  }

  /** Connects. Resolves once the stream has its position, so that it shows everything that happens from then on. */
  async open(): Promise<this> {
    this.#first ??= this.#frames.next();
    // If it fails after this call, `next` throws the error.
    this.#first.catch(() => {});
    await Promise.race([this.#positioned, this.#first]);
    return this;
  }

  /** Closes the connection. A loop over the frames ends. */
  close(): void {
    this.#ended = true;
    this.#closing.cancel();
  }

  async *#follow(): AsyncGenerator<JobFrame<Result>, void, void> {
    try {
      while (!this.#ended) {
        yield* this.#connection();
        if (!this.#ended) await this.#retries.pause(this.#closing.signal);
      }
    } catch (error) {
      if (!this.#ended && !(this.#jobEnded && error instanceof UnreachableError)) throw error;
    } finally {
      this.#closing.cancel();
    }
  }

  /** Yields the frames of one connection. Ends if the next one may succeed. */
  async *#connection(): AsyncGenerator<JobFrame<Result>, void, void> {
    const silence = new TimeLimit(this.#closing.signal);
    this.#delivers = false;
    try {
      const response = await this.#connect(silence);
      if (response) yield* this.#framesOf(response, silence);
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      if (silence.expired) this.#noteSilence();
      else if (error instanceof UnreachableError) this.#retries.failed(error);
      else throw error;
    } finally {
      silence.cancel();
    }
  }

  async #connect(silence: TimeLimit): Promise<Response | undefined> {
    const { path, parameters = {}, query } = this.#target;
    const ticket = await this.#ticket();
    // With a ticket as a query, so that a page of another origin needs no preflight request.
    const resumed = ticket === undefined ? {} : { ticket, lastEventId: this.#lastEventId };
    const response = await this.#transport.open("get", path, {
      path: parameters,
      query: { ...query, ...resumed },
      headers: {
        Accept: "text/event-stream",
        ...(ticket === undefined ? { "Last-Event-ID": this.#lastEventId } : { Authorization: undefined }),
      },
      signal: silence.start(this.#firstByteMs).signal,
    });
    if (response.status === 204) this.#ended = true;
    else if (mediaType(response) === "text/event-stream") return response;
    else await this.#noteRefusal(response);
    return undefined;
  }

  async #ticket(): Promise<string | undefined> {
    try {
      return await this.#options.ticket?.();
    } catch (error) {
      throw new UnreachableError(this.#transport.url, `no ticket: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
  }

  get #silenceMs(): number {
    return (this.#options.silenceSeconds ?? SILENCE_SECONDS) * 1000;
  }

  get #firstByteMs(): number {
    return this.#target.firstByteSeconds === undefined ? this.#silenceMs : this.#target.firstByteSeconds * 1000;
  }

  async *#framesOf(response: Response, silence: TimeLimit): AsyncGenerator<JobFrame<Result>, void, void> {
    let frames = 0;
    for await (const block of this.#blocks(response, silence)) {
      const frame = this.#note(block);
      if (!frame) continue;
      frames += 1;
      yield frame;
    }
    if (!frames) this.#retries.idle();
    // The history of a retried job contains an earlier end, after which the service does not close the stream.
    this.#ended ||= this.#jobEnded;
  }

  async *#blocks(response: Response, silence: TimeLimit): AsyncGenerator<ServerSentEvent, void, void> {
    const reader = response.body?.getReader();
    if (!reader) return;
    const decoder = new TextDecoder();
    const parser = new EventStreamParser();
    for (;;) {
      silence.start(this.#delivers ? this.#silenceMs : this.#firstByteMs);
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw this.#transport.unreachable(error);
      });
      silence.pause();
      if (done) return;
      this.#delivers = true;
      this.#retries.connected();
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  }

  /** Notes the id and the pause of a block. Returns its frame, if it is the event of a job. */
  #note(block: ServerSentEvent): JobFrame<Result> | undefined {
    if (block.retry !== undefined) this.#retries.request(block.retry);
    if (block.id !== "") {
      this.#lastEventId = block.id;
      this.#hasPosition();
      this.#retries.succeeded();
    }
    if (block.data === "" || !block.event.startsWith("job_")) return undefined;
    this.#retries.succeeded();
    const frame = { id: block.id, ...(this.#transport.parse(block.data) as object) } as JobFrame<Result>;
    this.#jobEnded = !this.#target.endless && END_FRAMES.has(block.event);
    return frame;
  }

  async #noteRefusal(response: Response): Promise<void> {
    const text = await response.text().catch(() => "");
    const reply = { status: response.status, url: response.url, headers: response.headers, text };
    const error = errorOf(reply);
    if (!isRefusedForNow(reply)) throw error;
    this.#retries.request((retryAfterSecondsOf(response.headers) ?? 0) * 1000);
    this.#retries.failed(error);
  }

  #noteSilence(): void {
    const { url } = this.#transport;
    if (this.#target.firstByteSeconds !== undefined && !this.#delivers)
      throw new HeldBackError(url, "the event stream delivers nothing");
    this.#retries.failed(new UnreachableError(url, "the event stream fell silent"));
  }
}

function mediaType(response: Response): string {
  return (response.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}
