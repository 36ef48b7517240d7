// Submits a job, waits for its end, and prints what came out: with openapi-fetch and types by openapi-typescript.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

declare const process: { argv: string[] };
const [baseUrl = "", key = ""] = process.argv.slice(2);

async function main(): Promise<void> {
  const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
  const submission: components["schemas"]["Submission"] = { type: "echo", parameters: { rows: 3 } };
  const submitted = await client.POST("/api/v1/jobs", {
    body: submission,
    params: { header: { "Idempotency-Key": "openapi-fetch" } },
  });
  if (!submitted.data) throw new Error(submitted.error.error.message);
  const path = { jobId: submitted.data.jobId };
  let job: components["schemas"]["JobBody"];
  do {
    const read = await client.GET("/api/v1/jobs/{jobId}", { params: { path, query: { wait: 20 } } });
    if (!read.data) throw new Error("not read");
    job = read.data;
  } while (job.status === "pending" || job.status === "running");
  const refused = await client.POST("/api/v1/jobs", { body: { type: "no-such-type" } });
  const listed = await client.GET("/api/v1/jobs", { params: { query: { status: ["completed"], limit: 1 } } });
  console.log(
    JSON.stringify({
      status: job.status,
      result: job.result,
      error: job.error?.details?.reason ?? null,
      refused: refused.error?.error.code,
      path: refused.error?.error.details.errors?.[0]?.path,
      listed: listed.data?.items.length,
    }),
  );
}

void main();
