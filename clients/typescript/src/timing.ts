/** Pauses and time limits that end when the caller aborts. */

/** Waits, unless the signal aborts first: then its reason is thrown. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** Signal that aborts with that of the caller, and once a time limit has passed. */
export class TimeLimit {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** True once the limit has passed. */
  expired = false;

  constructor(caller?: AbortSignal) {
    this.#caller = caller;
    if (caller?.aborted) this.#abort();
    else caller?.addEventListener("abort", this.#abort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Starts the limit, or starts it again. */
  start(milliseconds: number): this {
    this.pause();
    this.#timer = setTimeout(() => {
      this.expired = true;
      this.#controller.abort();
    }, milliseconds);
    return this;
  }

  /** Stops the limit, but continues to watch the caller. */
  pause(): void {
    clearTimeout(this.#timer);
  }

  /** Releases the timer and the signal of the caller. */
  end(): void {
    this.pause();
    this.#caller?.removeEventListener("abort", this.#abort);
  }

  /** Ends, and aborts what uses the signal. */
  cancel(): void {
    this.end();
    this.#controller.abort();
  }

  readonly #abort = () => {
    this.#controller.abort(this.#caller?.reason);
  };
}

// 1.5 s in all before the first connection, 40 s after it.
const TRIES_BEFORE_CONNECTED = 4;
const TRIES_AFTER_CONNECTED = 12;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
const LONGEST_REQUESTED_MS = 60_000;

/** Pauses between connections: longer after each failure, at least as long as the service requested. */
export class Retries {
  #failures = 0;
  #tries: number;
  #requested = 0;

  constructor(connected = false) {
    this.#tries = connected ? TRIES_AFTER_CONNECTED : TRIES_BEFORE_CONNECTED;
  }

  /** Notes a connection: from now on, a restart of the service is waited for. */
  connected(): void {
    this.#tries = TRIES_AFTER_CONNECTED;
  }

  /** Notes that the connection delivered something. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** Counts a connection that ended properly without delivering anything. */
  idle(): void {
    this.#failures += 1;
  }

  /** Counts a failure. Throws its error if too many have followed one another. */
  failed(error: Error): void {
    this.#failures += 1;
    if (this.#failures >= this.#tries) throw error;
  }

  /** Sets the pause that the service requests. */
  request(milliseconds: number): void {
    this.#requested = Math.min(milliseconds, LONGEST_REQUESTED_MS);
  }

  async pause(signal: AbortSignal | undefined): Promise<void> {
    const backoff = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
    await sleep(Math.max(backoff, this.#requested), signal);
  }
}
