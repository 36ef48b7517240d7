// Follows addresses with a published client, and writes a line of JSON for each call of its handlers.
//
// Standard input: one `{"client", "name", "url"}` a line. Standard output: `{"client", "name", "id", "type", "data"}`, or
// `"ended"` with the reason once the client stops by itself. `data` has gone through JSON.parse: what cannot be parsed
// ends the program.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.argv[2]}/..`);
const load = (name) => import(pathToFileURL(require.resolve(name)));

const TYPES = ["position", "overflow", "message", "job_submitted", "job_started", "job_progress", "job_retrying"];
TYPES.push("job_cancel_requested", "job_completed", "job_failed", "job_cancelled");

// The interface of browsers: a listener for each type, and `readyState` 2 once it has stopped for good.
function like_a_browser(EventSource) {
  return (url, { heard, ended }) => {
    const source = new EventSource(url);
    for (const type of TYPES) source.addEventListener(type, (event) => heard(event.lastEventId, type, event.data));
    source.addEventListener("error", () => setImmediate(() => source.readyState === 2 && ended("closed")));
  };
}

async function eventsource_client() {
  const { createEventSource } = await load("eventsource-client");
  return (url, { heard, ended }) => {
    const source = createEventSource({
      url,
      onMessage: ({ id, event, data }) => heard(id ?? "", event ?? "message", data),
      onDisconnect: () => setImmediate(() => source.readyState === "closed" && ended("closed")),
    });
  };
}

// Made for pages: it takes timers and visibility from `window` and `document`. It goes on after the end of a stream
// where `onclose` throws, and stops at a 204 where `onopen` throws what `onerror` throws on.
async function fetch_event_source() {
  globalThis.window ??= globalThis;
  globalThis.document ??= { hidden: false, addEventListener() {}, removeEventListener() {} };
  const { fetchEventSource } = await load("@microsoft/fetch-event-source");
  class Ended extends Error {}
  return (url, { heard, ended }) => {
    fetchEventSource(url, {
      openWhenHidden: true,
      onopen: async (response) => {
        if (response.status === 204) throw new Ended("204");
        if (!response.ok) throw new Error(`status ${response.status}`);
      },
      onmessage: ({ id, event, data }) => heard(id, event, data),
      onclose: () => {
        throw new Error("the stream ended");
      },
      onerror: (error) => {
        if (error instanceof Ended) throw error;
      },
    }).catch((error) => ended(error.message));
  };
}

async function event_source_plus() {
  const { EventSourcePlus } = await load("event-source-plus");
  return (url, { heard, ended }) => {
    const controller = new EventSourcePlus(url).listen({
      onMessage: ({ id, event, data }) => heard(id, event, data),
      onResponse({ response }) {
        if (response.status !== 204) return;
        controller.abort();
        ended("204");
      },
    });
  };
}

// It connects again by itself where the `EventSource` below it stops, also at a 204: soon, so that the test sees it. It
// stores the ids of messages of the global class `MessageEvent` only; those of `undici` are of another class.
async function reconnecting_eventsource() {
  const Reconnecting = require("reconnecting-eventsource").default;
  const { EventSource: eventSourceClass } = await load("eventsource-5");
  return like_a_browser(
    class extends Reconnecting {
      constructor(url) {
        super(url, { eventSourceClass, max_retry_time: 100 });
      }
    },
  );
}

const CLIENTS = {
  "eventsource 4": async () => like_a_browser((await load("eventsource-4")).EventSource),
  "eventsource 5": async () => like_a_browser((await load("eventsource-5")).EventSource),
  "event-source-polyfill": async () => like_a_browser((await load("event-source-polyfill")).EventSourcePolyfill),
  undici: async () => like_a_browser((await load("undici")).EventSource),
  "launchdarkly-eventsource": async () => like_a_browser((await load("launchdarkly-eventsource")).EventSource),
  "reconnecting-eventsource": reconnecting_eventsource,
  "event-source-plus": event_source_plus,
  "eventsource-client": eventsource_client,
  "fetch-event-source": fetch_event_source,
};

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
// The polyfill writes each broken connection to the console.
console.error = () => {};

for await (const line of createInterface({ input: process.stdin })) {
  const { client, name, url } = JSON.parse(line);
  const follow = await CLIENTS[client]();
  follow(url, {
    heard(id, type, data) {
      try {
        say({ client, name, id, type, data: JSON.parse(data) });
      } catch (error) {
        process.stderr.write(`${client}: ${type} ${JSON.stringify(data)}: ${error}\n`);
        process.exit(1);
      }
    },
    ended: (why) => say({ client, name, ended: why }),
  });
}
process.exit(0);
