/** Requests to the service by `fetch`, repeated where that is safe. */

import { UnreachableError } from "./errors.js";
import { parseJson, randomId, stringifyJson } from "./json.js";
import { errorOf, isRefusedForNow, type Reply, retryAfterSecondsOf } from "./replies.js";
import type { paths } from "./schema.js";
import { sleep, TimeLimit } from "./timing.js";

export const DEFAULT_URL = "http://127.0.0.1:8000";
// One second in all, enough for a restart. A longer Retry-After is reported to the caller instead.
const PAUSES_MS = [100, 300, 600];
const LONGEST_PAUSE_MS = 5_000;
const NOT_CONNECTED = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);

export interface ClientOptions {
  /** URL of the service. Default: the origin of the page, or `http://127.0.0.1:8000`. */
  url?: string | URL | undefined;
  /** API key. Never give it to a page: a page gets tickets from its backend. */
  apiKey?: string | undefined;
  /** Timeout of each response, in seconds. Default: 30. */
  timeoutSeconds?: number | undefined;
  /** Headers of each request. */
  headers?: Record<string, string> | undefined;
  /** Function to use instead of the global `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Reader of JSON. Default: `parseJson`, which keeps integers of any size. */
  parse?: ((text: string) => unknown) | undefined;
  /** Writer of JSON. Default: `stringifyJson`. */
  stringify?: ((value: unknown) => string) | undefined;
}

export interface CallOptions {
  /** Aborts the call; its reason is thrown. */
  signal?: AbortSignal | undefined;
}

type QueryValue = string | number | boolean | null | undefined;
export type Query = Record<string, QueryValue | readonly string[]>;

export interface RequestOptions extends CallOptions {
  /** Values of the placeholders in the path. */
  path?: Record<string, string>;
  query?: Query | undefined;
  headers?: Record<string, string | undefined>;
  body?: BodyInit;
  /** True if the request may be sent again after its connection broke. Default: for GET and PUT. */
  repeatable?: boolean;
  timeoutSeconds?: number;
}

type Method = "get" | "put" | "post" | "patch" | "delete";
type Operation<Path extends keyof paths, M extends Method> = NonNullable<paths[Path][M]>;
type Content<Response> = Response extends { content: { "application/json": infer Body } } ? Body : undefined;
/** Body of the successful responses of an operation. */
export type Answer<Path extends keyof paths, M extends Method> =
  Operation<Path, M> extends { responses: infer Responses } ? Content<Responses[keyof Responses]> : never;

export class Transport {
  readonly url: string;
  readonly parse: (text: string) => unknown;
  readonly stringify: (value: unknown) => string;
  readonly #fetch: typeof globalThis.fetch;
  readonly #headers: Record<string, string>;
  readonly #timeoutSeconds: number;

  constructor(options: ClientOptions) {
    this.url = baseUrl(options.url);
    this.parse = options.parse ?? parseJson;
    this.stringify = options.stringify ?? stringifyJson;
    // Browsers refuse to call `fetch` as a method of another object.
    this.#fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.#timeoutSeconds = options.timeoutSeconds ?? 30;
    this.#headers = { Accept: "application/json", ...options.headers };
    if (options.apiKey !== undefined) this.#headers.Authorization = `Bearer ${visibleAscii(options.apiKey)}`;
  }

  /** Sends a request and returns the JSON of its response. `content` is sent as JSON. */
  async json<Path extends keyof paths & string, M extends Method>(
    method: M,
    path: Path,
    options: RequestOptions & { content?: unknown } = {},
  ): Promise<Answer<Path, M>> {
    const { content, ...request } = options;
    if (content !== undefined) {
      request.body = this.stringify(content);
      request.headers = { "Content-Type": "application/json", ...request.headers };
    }
    return this.read(await this.send(method, path, request)) as Answer<Path, M>;
  }

  /** Returns the JSON of a reply, or throws its error. */
  read(reply: Reply): unknown {
    if (reply.status === 204) return undefined;
    if (reply.status < 200 || reply.status > 299) throw errorOf(reply);
    try {
      return this.parse(reply.text);
    } catch (error) {
      if (error instanceof SyntaxError) throw errorOf(reply);
      throw error;
    }
  }

  /**
   * Returns the reply of any status. Each POST has an idempotency key.
   *
   * A repeatable request is sent again if its connection breaks; any other only if it cannot have arrived, or if the
   * service reports that it did nothing.
   *
   * @throws {UnreachableError} There was no response.
   */
  async send(method: Method, path: keyof paths & string, given: RequestOptions = {}): Promise<Reply> {
    const options = method === "post" ? keyed(given) : given;
    const repeatable = options.repeatable ?? (method === "get" || method === "put");
    for (const pause of PAUSES_MS) {
      const delay = await this.#once(method, path, options).then(
        (reply) => {
          const requested = (retryAfterSecondsOf(reply.headers) ?? pause / 1000) * 1000;
          return requested > LONGEST_PAUSE_MS || !isRefusedForNow(reply) ? reply : requested;
        },
        (error: unknown) => {
          if (mayRepeat(error, repeatable)) return pause;
          throw error;
        },
      );
      if (typeof delay !== "number") return delay;
      await sleep(delay, options.signal);
    }
    return this.#once(method, path, options);
  }

  /** Sends a request once and returns its response before its body is read. The signal of the options ends it. */
  async open(method: Method, path: keyof paths & string, options: RequestOptions): Promise<Response> {
    const target = this.url + filled(path, options.path ?? {}) + queryText(options.query ?? {});
    const init: RequestInit & { duplex?: "half" } = {
      method: method.toUpperCase(),
      headers: definedMembers({ ...this.#headers, ...options.headers }),
      cache: "no-store",
      redirect: "manual",
      signal: options.signal ?? null,
    };
    if (options.body !== undefined) init.body = options.body;
    if (options.body instanceof ReadableStream) init.duplex = "half";
    try {
      return await this.#fetch(target, init);
    } catch (error) {
      throw this.unreachable(error);
    }
  }

  /** Returns the error of a request without a response. */
  unreachable(error: unknown): UnreachableError {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return new UnreachableError(this.url, cause instanceof Error ? cause.message : String(cause), { cause });
  }

  async #once(method: Method, path: keyof paths & string, options: RequestOptions): Promise<Reply> {
    options.signal?.throwIfAborted();
    const limit = new TimeLimit(options.signal).start((options.timeoutSeconds ?? this.#timeoutSeconds) * 1000);
    try {
      const response = await this.open(method, path, { ...options, signal: limit.signal });
      const text = await response.text().catch((error: unknown) => Promise.reject(this.unreachable(error)));
      return { status: response.status, url: response.url || this.url, headers: response.headers, text };
    } catch (error) {
      options.signal?.throwIfAborted();
      if (limit.expired) throw new UnreachableError(this.url, "timed out waiting for a response");
      throw error;
    } finally {
      limit.end();
    }
  }
}

function keyed(options: RequestOptions): RequestOptions {
  return { ...options, headers: { "Idempotency-Key": randomId(), ...options.headers } };
}

/** A refused connection has carried nothing. A timeout is not repeated. */
function mayRepeat(error: unknown, repeatable: boolean): boolean {
  if (!(error instanceof UnreachableError) || error.cause === undefined) return false;
  return repeatable || NOT_CONNECTED.has((error.cause as { code?: string }).code ?? "");
}

function baseUrl(given: string | URL | undefined): string {
  const page = (globalThis as { location?: { origin: string } }).location?.origin;
  const text = String(given ?? page ?? DEFAULT_URL);
  const url = URL.canParse(text, page) ? new URL(text, page) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.search || url.hash) {
    throw new TypeError(`invalid URL of the service "${text}": expected http://host:port`);
  }
  return url.href.replace(/\/+$/, "");
}

function visibleAscii(apiKey: string): string {
  if (!/^[\x21-\x7e]+$/.test(apiKey)) throw new TypeError("the API key contains characters that a header cannot carry");
  return apiKey;
}

/** Returns the path with its placeholders filled in. */
function filled(path: string, values: Record<string, string>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name] ?? "";
    // `fetch` resolves these as steps in the path, even if they are encoded.
    if (["", ".", ".."].includes(value)) throw new TypeError(`${name} must not be "${value}"`);
    return encodeURIComponent(value);
  });
}

function queryText(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) parameters.append(name, String(one));
    }
  }
  return parameters.size ? `?${parameters}` : "";
}

function definedMembers(headers: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
