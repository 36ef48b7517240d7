/** Checked by the compiler: which type a result has. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "../src/index.js";
import { json, scripted } from "./scripted.js";

interface Report {
  days: number;
}
type Types = {
  "report-generation": { parameters: { startDate: string }; result: Report };
  cleanup: { parameters: undefined; result: null };
};

function equal<Wanted>(value: Wanted): Wanted {
  return value;
}

test("the types of job types reach parameters, frames and results", async () => {
  const ended = { jobId: "j1", status: "completed", sequence: 2, result: { days: 31 }, progress: null };
  const { client: plain } = scripted([json(202, { jobId: "j1" }), json(200, ended)]);
  const client = plain as Client<Types>;
  const accepted = await client.submit("report-generation", { startDate: "2024-01-01" });
  const report: Report = equal<Report>(await client.result(accepted));
  assert.equal(report.days, 31);
});

/** Never called. */
export async function refusedByTheCompiler(client: Client<Types>): Promise<void> {
  // @ts-expect-error an unknown job type
  await client.submit("report-generatoin");
  // @ts-expect-error parameters of another type
  await client.submit("report-generation", { start: 1 });
  // @ts-expect-error a member that no submission has
  await client.submit("cleanup", undefined, { prioriti: 5 });
  const job = await client.wait(await client.submit("report-generation", { startDate: "" }));
  // @ts-expect-error the result of a job that may have failed
  job.result.days;
  if (job.status === "completed") equal<Report>(job.result);
  for await (const frame of client.stream<Report>(job.jobId)) {
    if (frame.type === "job_completed") equal<Report>(frame.result);
    if (frame.type === "job_progress") equal<number | null>(frame.progress);
  }
}
