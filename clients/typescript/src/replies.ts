/** Replies of the service: their error, and the pause that they request. */

import { type ApiError, apiError } from "./errors.js";

/** Response whose body has been read. */
export interface Reply {
  status: number;
  url: string;
  headers: Headers;
  text: string;
}

/** Returns the error of a reply, also of one that Duly did not send, such as the page of a proxy. */
export function errorOf(reply: Reply): ApiError {
  const { status } = reply;
  const retryAfterSeconds = retryAfterSecondsOf(reply.headers);
  const requestId = reply.headers.get("x-request-id") ?? undefined;
  const { error } = contentOf(reply.text);
  if (!isObject(error)) {
    const code = `HTTP_${status}`;
    const message = `${reply.url} returned ${status} without a Duly error; check the URL of the service`;
    return apiError({ status, code, message, details: { retryable: status >= 502 }, retryAfterSeconds, requestId });
  }
  const code = String(error.code ?? `HTTP_${status}`);
  const message = String(error.message ?? code);
  const details = isObject(error.details) ? error.details : {};
  return apiError({ status, code, message, details, retryAfterSeconds, requestId });
}

/** Returns whether the service recorded nothing and a repetition may succeed. */
export function isRefusedForNow(reply: Reply): boolean {
  if (reply.status === 429 || reply.status === 503) return true;
  return reply.status === 409 && errorOf(reply).code === "IDEMPOTENCY_IN_FLIGHT";
}

/** Returns `Retry-After` in seconds, also if a proxy has written it as a date. */
export function retryAfterSecondsOf(headers: Headers): number | undefined {
  const text = headers.get("retry-after")?.trim();
  if (!text) return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  // Both dates are by the clock of the proxy.
  const seconds = (Date.parse(text) - Date.parse(headers.get("date") ?? new Date().toUTCString())) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}

function contentOf(text: string): { error?: unknown } {
  try {
    const content: unknown = JSON.parse(text);
    return isObject(content) ? content : {};
  } catch {
    return {};
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
