// Calls of the table in `tests/client/behaviours` through the TypeScript client, by the messages that
// `tests/client/behaviours/callers.py` describes. `receive` takes a message, `send` gets each reply.
//
// `progress` is a call beside those of the table: a wait that yields each progress.

// Calls whose arguments are one object.
const WHOLE = new Set(["list", "streamAll", "cancelMany", "retryMany", "keys.create", "tickets.create", "service.figures", "service.scaling"]);

const CALLS = {
  submit: (client, { jobType, parameters, ...options }) => client.submit(jobType, parameters ?? undefined, options),
  signal: (client, { jobId, name, body }) => client.signal(jobId, name, body),
  wait: (client, { jobId, timeout, ...options }) => client.wait(jobId, { timeoutSeconds: timeout, ...options }),
  stream: (client, { jobId, ticketsOf, ...options }) => {
    const ticket = async () => (await (await fetch(ticketsOf, { method: "POST" })).json()).ticket;
    return client.stream(jobId, ticketsOf ? { ...options, ticket } : options);
  },
  "jobTypes.declare": (client, { jobType, force, ...declaration }) =>
    client.jobTypes.declare(jobType, declaration, { force }),
  "schedules.create": (client, { job, ...schedule }) => client.schedules.create({ ...schedule, submission: job }),
  "schedules.put": (client, { name, job, ...schedule }) => client.schedules.put(name, { ...schedule, submission: job }),
  "webhooks.create": (client, webhook) => client.webhooks.create({ events: ["*"], ...webhook }),
};

function perform(client, name, given) {
  if (CALLS[name]) return CALLS[name](client, given);
  const steps = name.split(".");
  const method = steps.pop();
  const target = steps.reduce((object, step) => object[step], client);
  if (WHOLE.has(name)) return target[method](given);
  const [first, ...rest] = Object.entries(given);
  return target[method](...(first ? [first[1]] : []), ...(rest.length ? [Object.fromEntries(rest)] : []));
}

function shown(duly, error) {
  if (error instanceof duly.WaitTimeoutError) return { kind: "TimeoutError", message: error.message };
  const kind = error instanceof duly.SignatureError ? error.name : error.name.replace(/Error$/, "");
  const { message, code, status, details, retryAfterSeconds } = error;
  return { kind, message, code, status, details, retryAfterSeconds };
}

export function calls(duly, options, send) {
  const client = new duly.Client(options);
  const stops = new Map();

  async function iterate(id, name, given) {
    if (name === "progress") {
      const controller = new AbortController();
      stops.set(id, () => controller.abort());
      return client.wait(given.jobId, { ...given, signal: controller.signal, onProgress: (item) => send({ id, item }) });
    }
    const iterator = perform(client, name, given);
    stops.set(id, () => iterator.return());
    for await (const item of iterator) send({ id, item });
  }

  async function call(name, given) {
    if (name !== "verifyWebhook") return perform(client, name, given);
    const { id, type, body } = await duly.verifyWebhook(given.headers, new TextEncoder().encode(given.body), given.keys);
    return { id, type, body };
  }

  return async function receive({ id, call: name, arguments: given, items, stop }) {
    if (stop) return stops.get(id)?.();
    try {
      if (items) {
        await iterate(id, name, given);
        send({ id, end: true });
      } else send({ id, value: (await call(name, given)) ?? null });
    } catch (error) {
      send({ id, error: shown(duly, error) });
    }
  };
}
