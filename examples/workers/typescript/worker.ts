/**
 * Worker for Duly in TypeScript, without any package.
 *
 * Runs two job types: `render` reports progress after each page, continues from its checkpoint after a crash, and
 * submits a `mail` as child job. Up to ten jobs run at once; start several of these for more throughput:
 *
 *     DULY_URL=http://127.0.0.1:8000 DULY_KEY=duly_… node worker.ts
 *
 * Node.js 22.18 and newer run this file as it is; with Node.js 20, compile it first: `npx tsc`.
 */

interface Lease {
  leaseId: string;
  job: { jobId: string; type: string; parameters: { pages: number; seconds?: number } };
  idempotencyToken: string;
  checkpoint: { page: number } | null;
}

type Post = (path: string, body: object) => Promise<any>;

const LEASES = `${process.env.DULY_URL ?? "http://127.0.0.1:8000"}/api/v1/leases`;
const KEY = process.env.DULY_KEY;
const LEASE_SECONDS = Number(process.env.LEASE_SECONDS ?? 30);
const NAME = `node-${process.pid}`;

const shutdown = new AbortController();
const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

/** The job was cancelled, or its lease is lost. */
class Stopped extends Error {}

/** Sends a request until the service responds: each one may be repeated. */
async function post(path: string, body: object, signal: AbortSignal | null = null): Promise<any> {
  const headers = { "Content-Type": "application/json", ...(KEY ? { Authorization: `Bearer ${KEY}` } : {}) };
  const request = { method: "POST", headers, body: JSON.stringify(body), signal };
  for (;;) {
    signal?.throwIfAborted();
    const response = await fetch(LEASES + path, request).catch(() => undefined);
    if (response?.ok) return response.json();
    // LEASE_LOST: another worker may run the job.
    if (response?.status === 409) throw new Stopped(await response.text());
    if (response && ![429, 503].includes(response.status)) throw new Error(`${path}: ${await response.text()}`);
    await sleep(0.5);
  }
}

/** Renders the pages that are left, and submits a mail about them. */
async function render({ job, checkpoint }: Lease, report: Post): Promise<object> {
  const { pages, seconds = 0 } = job.parameters;
  for (let page = (checkpoint?.page ?? 0) + 1; page <= pages; page += 1) {
    await sleep(seconds);
    const state = { progress: (100 * page) / pages, message: `page ${page}`, checkpoint: { page } };
    if ((await report("heartbeat", state)).cancelRequested) throw new Stopped("cancelled");
  }
  const child = { type: "mail", parameters: { pages } };
  return { pages, mail: (await report("jobs", { jobs: [child] })).jobIds[0] };
}

/** Sends a mail. */
async function mail({ idempotencyToken }: Lease): Promise<object> {
  return { sent: true, token: idempotencyToken };
}

const HANDLERS: Record<string, (lease: Lease, report: Post) => Promise<object>> = { render, mail };

/** Runs one job, and reports its end. */
async function run(lease: Lease): Promise<void> {
  const report: Post = (path, body) => post(`/${lease.leaseId}/${path}`, body);
  try {
    const result = await HANDLERS[lease.job.type]?.(lease, report);
    await report("complete", { result });
  } catch (error) {
    console.error(`job ${lease.job.jobId}: ${error}`);
    // After a lost lease this changes nothing; a cancelled job ends as cancelled.
    await report("fail", { error: { message: String(error) } }).catch(console.error);
  }
}

/** Claims jobs and runs them at once, round after round, until the worker is shut down. */
async function main(): Promise<void> {
  const names = { types: Object.keys(HANDLERS), workerName: NAME };
  const claim = { ...names, max: 10, waitSeconds: 30, leaseSeconds: LEASE_SECONDS };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => shutdown.abort());
  while (!shutdown.signal.aborted) {
    const { leases } = await post("", claim, shutdown.signal).catch((error) => {
      if (shutdown.signal.aborted) return { leases: [] };
      throw error;
    });
    await Promise.all(leases.map(run));
  }
}

await main();
