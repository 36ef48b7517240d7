// Harness of every Node peer, as harness.py is for Python: the same four tasks, output lines and clock.
import { writeSync } from "node:fs";
import { createRequire } from "node:module";
import readline from "node:readline";

// The peers are installed in a separate folder, not above this file.
export const installed = createRequire(process.env.BENCHMARK_MODULES);

const [, , task, text] = process.argv;
export const plan = JSON.parse(text);
const wanted = Number(process.env.BENCHMARK_JOBS ?? "0");
let starts = 0;

export const parameters = (index) => ({
  index,
  recipient: "ada.lovelace@example.com",
  template: "welcome-to-the-club",
});

const printMark = (word, index, nanoseconds) => writeSync(1, `${word} ${index} ${nanoseconds}\n`);

// Records the start of a handler; it is the first line of each handler.
export function started(index) {
  if (!wanted) {
    printMark("started", index, process.hrtime.bigint());
    return;
  }
  starts += 1;
  if (starts === 1 || starts >= wanted) printMark("started", starts, process.hrtime.bigint());
}

async function single(client) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const began = process.hrtime.bigint();
    await client.one(Number(line));
    printMark("sent", line, began);
  }
}

function* chunks() {
  for (let begin = 0; plan.jobs === null || begin < plan.jobs; begin += plan.chunk) {
    const count = plan.jobs === null ? plan.chunk : Math.min(plan.chunk, plan.jobs - begin);
    yield Array.from({ length: count }, (_, offset) => begin + offset);
  }
}

async function call(client, source, until, latencies) {
  let jobs = 0;
  for (let next = source.next(); !next.done; next = source.next()) {
    const began = performance.now();
    await client.many(next.value);
    const ended = performance.now();
    latencies.push(ended - began);
    jobs += next.value.length;
    if (until !== null && ended >= until) break;
  }
  return jobs;
}

const percentile = (ordered, share) => ordered[Math.round(share * (ordered.length - 1))] ?? 0;

async function submit(client) {
  const source = chunks();
  if (plan.warm_up) await call(client, source, performance.now() + plan.warm_up * 1e3, []);
  const latencies = [];
  const processor = process.cpuUsage();
  const began = performance.now();
  const until = plan.jobs === null ? began + plan.seconds * 1e3 : null;
  const callers = Array.from({ length: plan.callers }, () => call(client, source, until, latencies));
  const jobs = (await Promise.all(callers)).reduce((sum, count) => sum + count, 0);
  const seconds = (performance.now() - began) / 1e3;
  const used = process.cpuUsage(processor);
  latencies.sort((one, other) => one - other);
  const figures = {
    jobs,
    rate: jobs / seconds,
    p50_ms: percentile(latencies, 0.5),
    p99_ms: percentile(latencies, 0.99),
    cores: (used.user + used.system) / 1e6 / seconds,
  };
  writeSync(1, `${JSON.stringify(figures)}\n`);
}

export async function perform(peer) {
  if (task === "work") {
    await peer.work();
    return;
  }
  if (task === "prepare") await peer.prepare();
  else await (task === "submit" ? submit : single)(await peer.client());
  process.exit(0);
}
