/** Batches, queues, job types, schedules, webhooks and keys: one method for each operation. */

import type { components, paths } from "./schema.js";
import type { Answer, CallOptions, RequestOptions, Transport } from "./transport.js";

type Schemas = components["schemas"];

/** Paths of lists, and the items of their pages. */
type ListPath = { [Path in keyof paths]: Answer<Path, "get"> extends Page<unknown> ? Path : never }[keyof paths];
type Item<Path extends ListPath> = Answer<Path, "get"> extends Page<infer One> ? One : never;
type Page<One> = { items: One[]; nextCursor: string | null };

/** Options of lists. */
export interface ListOptions extends CallOptions {
  /** Items of a page, 1 to 200. Default: 200. */
  pageSize?: number | undefined;
}

/** Yields the items of a list, page by page, as the loop asks for them. */
export async function* items<Path extends ListPath>(
  transport: Transport,
  path: Path,
  { pageSize = 200, signal }: ListOptions,
  request: RequestOptions = {},
): AsyncGenerator<Item<Path>, void, void> {
  let cursor: string | null = null;
  do {
    const query = { ...request.query, limit: pageSize, cursor };
    const page = (await transport.json("get", path, { ...request, query, signal })) as Page<Item<Path>>;
    yield* page.items;
    cursor = page.nextCursor;
  } while (cursor);
}

export class Batches {
  constructor(private readonly transport: Transport) {}

  list(options: ListOptions = {}): AsyncGenerator<Schemas["BatchBody"], void, void> {
    return items(this.transport, "/api/v1/batches", options);
  }

  get(batchId: string, { signal }: CallOptions = {}): Promise<Schemas["BatchBody"]> {
    return this.transport.json("get", "/api/v1/batches/{batchId}", { path: { batchId }, signal });
  }

  /** Cancels the jobs of the batch that have not ended. */
  cancel(batchId: string, { signal }: CallOptions = {}): Promise<Schemas["BatchBody"]> {
    return this.transport.json("post", "/api/v1/batches/{batchId}/cancel", { path: { batchId }, signal });
  }
}

export class Queues {
  constructor(private readonly transport: Transport) {}

  list(options: ListOptions = {}): AsyncGenerator<Schemas["QueueBody"], void, void> {
    return items(this.transport, "/api/v1/queues", options);
  }

  get(queue: string, { signal }: CallOptions = {}): Promise<Schemas["QueueBody"]> {
    return this.transport.json("get", "/api/v1/queues/{queue}", { path: { queue }, signal });
  }

  /** Stops the start of jobs, not their submission. */
  pause(queue: string, { signal }: CallOptions = {}): Promise<Schemas["QueueBody"]> {
    return this.transport.json("post", "/api/v1/queues/{queue}/pause", { path: { queue }, signal });
  }

  resume(queue: string, { signal }: CallOptions = {}): Promise<Schemas["QueueBody"]> {
    return this.transport.json("post", "/api/v1/queues/{queue}/resume", { path: { queue }, signal });
  }

  limits(queue: string, { signal }: CallOptions = {}): Promise<Schemas["StartLimits"]> {
    return this.transport.json("get", "/api/v1/queues/{queue}/limits", { path: { queue }, signal });
  }

  setLimits(
    queue: string,
    content: Schemas["StartLimits"],
    { signal }: CallOptions = {},
  ): Promise<Schemas["StartLimits"]> {
    return this.transport.json("put", "/api/v1/queues/{queue}/limits", { path: { queue }, content, signal });
  }

  removeLimits(queue: string, { signal }: CallOptions = {}): Promise<void> {
    return this.transport.json("delete", "/api/v1/queues/{queue}/limits", { path: { queue }, signal });
  }
}

export class JobTypeCatalogue {
  constructor(private readonly transport: Transport) {}

  list(options: ListOptions = {}): AsyncGenerator<Schemas["JobTypeBody"], void, void> {
    return items(this.transport, "/api/v1/job-types", options);
  }

  get(type: string, { signal }: CallOptions = {}): Promise<Schemas["JobTypeBody"]> {
    return this.transport.json("get", "/api/v1/job-types/{type}", { path: { type }, signal });
  }

  /**
   * Declares a job type for workers that pull jobs over HTTP, or replaces its declaration. `force`: even if waiting jobs
   * do not fit the new schema.
   */
  declare(
    type: string,
    content: Schemas["JobTypeDeclaration"],
    { force, signal }: CallOptions & { force?: boolean | undefined } = {},
  ): Promise<Schemas["JobTypeBody"]> {
    return this.transport.json("put", "/api/v1/job-types/{type}", {
      path: { type },
      query: { force },
      content,
      signal,
    });
  }

  /** Deletes the declaration of a type without waiting jobs. */
  delete(type: string, { signal }: CallOptions = {}): Promise<void> {
    return this.transport.json("delete", "/api/v1/job-types/{type}", { path: { type }, signal });
  }

  limits(type: string, { signal }: CallOptions = {}): Promise<Schemas["StartLimits"]> {
    return this.transport.json("get", "/api/v1/job-types/{type}/limits", { path: { type }, signal });
  }

  setLimits(
    type: string,
    content: Schemas["StartLimits"],
    { signal }: CallOptions = {},
  ): Promise<Schemas["StartLimits"]> {
    return this.transport.json("put", "/api/v1/job-types/{type}/limits", { path: { type }, content, signal });
  }

  removeLimits(type: string, { signal }: CallOptions = {}): Promise<void> {
    return this.transport.json("delete", "/api/v1/job-types/{type}/limits", { path: { type }, signal });
  }
}

export class Schedules {
  constructor(private readonly transport: Transport) {}

  list(options: ListOptions = {}): AsyncGenerator<Schemas["ScheduleBody"], void, void> {
    return items(this.transport, "/api/v1/schedules", options);
  }

  get(name: string, { signal }: CallOptions = {}): Promise<Schemas["ScheduleBody"]> {
    return this.transport.json("get", "/api/v1/schedules/{name}", { path: { name }, signal });
  }

  create(content: Schemas["Schedule"], { signal }: CallOptions = {}): Promise<Schemas["ScheduleBody"]> {
    return this.transport.json("post", "/api/v1/schedules", { content, signal });
  }

  /** Creates a schedule, or replaces it. */
  put(
    name: string,
    content: Schemas["ScheduleDefinition"],
    { signal }: CallOptions = {},
  ): Promise<Schemas["ScheduleBody"]> {
    return this.transport.json("put", "/api/v1/schedules/{name}", { path: { name }, content, signal });
  }

  update(
    name: string,
    content: Schemas["ScheduleChange"],
    { signal }: CallOptions = {},
  ): Promise<Schemas["ScheduleBody"]> {
    return this.transport.json("patch", "/api/v1/schedules/{name}", { path: { name }, content, signal });
  }

  delete(name: string, { signal }: CallOptions = {}): Promise<void> {
    return this.transport.json("delete", "/api/v1/schedules/{name}", { path: { name }, signal });
  }

  /** Returns the next due times of the schedule, each in UTC and in its time zone. */
  dueTimes(
    name: string,
    { count, signal }: CallOptions & { count?: number | undefined } = {},
  ): Promise<Schemas["DueTimesBody"]> {
    return this.transport.json("get", "/api/v1/schedules/{name}/due-times", {
      path: { name },
      query: { count },
      signal,
    });
  }

  /** Yields the past due times of the schedule with the status of their jobs, newest first. */
  runs(name: string, options: ListOptions = {}): AsyncGenerator<Schemas["ScheduleRunBody"], void, void> {
    return items(this.transport, "/api/v1/schedules/{name}/runs", options, { path: { name } });
  }

  /** Submits the job of the schedule now. */
  run(name: string, { signal }: CallOptions = {}): Promise<Schemas["AcceptedBody"]> {
    return this.transport.json("post", "/api/v1/schedules/{name}/run", { path: { name }, signal }) as Promise<
      Schemas["AcceptedBody"]
    >;
  }
}

/** Figures that are read of a queue (default: of all), in a time, in steps. */
export interface FiguresOptions extends CallOptions {
  queue?: string | undefined;
  since?: string | undefined;
  until?: string | undefined;
  /** Seconds. Default: 60. */
  step?: 60 | 300 | 3600 | undefined;
}

/** Jobs of one queue or job type (default: all), and the time to drain those that wait (default: a minute). */
export interface ScalingOptions extends CallOptions {
  queue?: string | undefined;
  type?: string | undefined;
  targetSeconds?: number | undefined;
}

/** The service as a whole. */
export class Service {
  constructor(private readonly transport: Transport) {}

  /** Returns the running processes of the service, with their slots. */
  async nodes({ signal }: CallOptions = {}): Promise<Schemas["NodeBody"][]> {
    return (await this.transport.json("get", "/api/v1/nodes", { signal })).items;
  }

  /** Returns series of jobs, webhooks, waits and run times of the last two days. */
  figures({ signal, ...query }: FiguresOptions = {}): Promise<Schemas["FiguresBody"]> {
    return this.transport.json("get", "/api/v1/figures", { query, signal });
  }

  /** Returns the number of slots that the work at hand needs. */
  scaling({ signal, ...query }: ScalingOptions = {}): Promise<Schemas["ScalingBody"]> {
    return this.transport.json("get", "/api/v1/scaling", { query, signal });
  }
}

/** Registered webhook endpoints. */
export class Webhooks {
  constructor(private readonly transport: Transport) {}

  list(options: ListOptions = {}): AsyncGenerator<Schemas["WebhookBody"], void, void> {
    return items(this.transport, "/api/v1/webhooks", options);
  }

  get(webhookId: string, { signal }: CallOptions = {}): Promise<Schemas["WebhookBody"]> {
    return this.transport.json("get", "/api/v1/webhooks/{webhookId}", { path: { webhookId }, signal });
  }

  /** Registers an endpoint. The response shows its secret, this once. */
  create(content: Schemas["Webhook"], { signal }: CallOptions = {}): Promise<Schemas["DisclosedWebhookBody"]> {
    return this.transport.json("post", "/api/v1/webhooks", { content, signal });
  }

  update(
    webhookId: string,
    content: Schemas["WebhookChange"],
    { signal }: CallOptions = {},
  ): Promise<Schemas["WebhookBody"]> {
    return this.transport.json("patch", "/api/v1/webhooks/{webhookId}", { path: { webhookId }, content, signal });
  }

  delete(webhookId: string, { signal }: CallOptions = {}): Promise<void> {
    return this.transport.json("delete", "/api/v1/webhooks/{webhookId}", { path: { webhookId }, signal });
  }

  /** Sends the event `webhook.test`. */
  test(webhookId: string, { signal }: CallOptions = {}): Promise<Schemas["SentTestBody"]> {
    return this.transport.json("post", "/api/v1/webhooks/{webhookId}/test", { path: { webhookId }, signal });
  }

  rotateSecret(
    webhookId: string,
    content: Schemas["SecretRotation"] = {},
    { signal }: CallOptions = {},
  ): Promise<Schemas["DisclosedWebhookBody"]> {
    const path = { webhookId };
    return this.transport.json("post", "/api/v1/webhooks/{webhookId}/rotate-secret", { path, content, signal });
  }

  /** Returns the circuit of the endpoint, its pending deliveries, and how the newest ones ended. */
  health(webhookId: string, { signal }: CallOptions = {}): Promise<Schemas["WebhookHealthBody"]> {
    return this.transport.json("get", "/api/v1/webhooks/{webhookId}/health", { path: { webhookId }, signal });
  }

  deliveries(
    webhookId: string,
    options: ListOptions & { status?: Schemas["DeliveryStatus"] | undefined } = {},
  ): AsyncGenerator<Schemas["DeliveryBody"], void, void> {
    const request = { path: { webhookId }, query: { status: options.status } };
    return items(this.transport, "/api/v1/webhooks/{webhookId}/deliveries", options, request);
  }

  /** Resends what failed since a time. */
  replay(
    webhookId: string,
    content: Schemas["ReplayRequest"],
    { signal }: CallOptions = {},
  ): Promise<Schemas["ReplayBody"]> {
    return this.transport.json("post", "/api/v1/webhooks/{webhookId}/replay", { path: { webhookId }, content, signal });
  }
}

export class Deliveries {
  constructor(private readonly transport: Transport) {}

  /** Returns a delivery with its attempts. */
  get(deliveryId: string, { signal }: CallOptions = {}): Promise<Schemas["WholeDeliveryBody"]> {
    return this.transport.json("get", "/api/v1/deliveries/{deliveryId}", { path: { deliveryId }, signal });
  }

  redeliver(deliveryId: string, { signal }: CallOptions = {}): Promise<Schemas["DeliveryBody"]> {
    return this.transport.json("post", "/api/v1/deliveries/{deliveryId}/redeliver", { path: { deliveryId }, signal });
  }
}

export class Keys {
  constructor(private readonly transport: Transport) {}

  list(options: ListOptions = {}): AsyncGenerator<Schemas["KeyBody"], void, void> {
    return items(this.transport, "/api/v1/keys", options);
  }

  /** Creates an API key. The response shows it, this once. */
  create(content: Schemas["KeyRequest"], { signal }: CallOptions = {}): Promise<Schemas["DisclosedKeyBody"]> {
    return this.transport.json("post", "/api/v1/keys", { content, signal });
  }

  rotate(
    keyId: string,
    content: Schemas["KeyRotation"] = {},
    { signal }: CallOptions = {},
  ): Promise<Schemas["DisclosedKeyBody"]> {
    return this.transport.json("post", "/api/v1/keys/{keyId}/rotate", { path: { keyId }, content, signal });
  }

  /** Revokes a key: services refuse it within 5 seconds. */
  revoke(keyId: string, { signal }: CallOptions = {}): Promise<void> {
    return this.transport.json("delete", "/api/v1/keys/{keyId}", { path: { keyId }, signal });
  }
}

export class Tickets {
  constructor(private readonly transport: Transport) {}

  /** Creates a ticket, with which a page opens one stream without an API key. */
  create(content: Schemas["TicketRequest"], { signal }: CallOptions = {}): Promise<Schemas["TicketBody"]> {
    return this.transport.json("post", "/api/v1/stream-tickets", { content, signal });
  }
}
