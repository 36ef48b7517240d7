/** Service that responds to each request with the next of the given responses, for faults that none shows on request. */

import { Client, type ClientOptions } from "../src/index.js";

export type Scripted = Response | Error | ((signal: AbortSignal) => Promise<Response>);

export function scripted(answers: Scripted[], options: ClientOptions = {}) {
  const requests: Request[] = [];
  const bodies: string[] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init as RequestInit);
    requests.push(request);
    bodies.push(await request.clone().text());
    const answer = answers.shift() ?? new Error("no answer left");
    if (answer instanceof Error) throw new TypeError("fetch failed", { cause: answer });
    return typeof answer === "function" ? answer(request.signal) : answer;
  };
  return { client: new Client({ url: "http://service.test", fetch, ...options }), requests, bodies };
}

export function json(status: number, content: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(content), { status, headers: { "Content-Type": "application/json", ...headers } });
}

export function refusal(status: number, code: string, headers: Record<string, string> = {}, details = {}): Response {
  return json(status, { error: { code, message: `refused with ${status}.`, details } }, headers);
}

/** Event stream with this text, which ends properly, or breaks off. */
export function events(text: string, { breaks = false } = {}): Response {
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text));
      if (breaks) setTimeout(() => controller.error(new Error("connection reset")));
      else controller.close();
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

export function frame(sequence: number, type: string): string {
  return `event: ${type}\ndata: {"type":"${type}","jobId":"j1","sequence":${sequence}}\nid: ${sequence}\n\n`;
}

export function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}
