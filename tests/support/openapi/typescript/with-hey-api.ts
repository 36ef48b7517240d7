// The same with the client that @hey-api/openapi-ts generates.
import { client } from "./hey/client.gen";
import { getJob, listJobs, submitJob } from "./hey/sdk.gen";
import type { JobBody, Submission } from "./hey/types.gen";

declare const process: { argv: string[] };
const [baseUrl = "", key = ""] = process.argv.slice(2);

async function main(): Promise<void> {
  client.setConfig({ baseUrl, auth: () => key });
  const submission: Submission = { type: "echo", parameters: { rows: 3 } };
  const submitted = await submitJob({ body: submission, headers: { "Idempotency-Key": "hey-api" } });
  if (!submitted.data) throw new Error(submitted.error.error.message);
  const path = { jobId: submitted.data.jobId };
  let job: JobBody;
  do {
    const read = await getJob({ path, query: { wait: 20 } });
    if (!read.data) throw new Error("not read");
    job = read.data;
  } while (job.status === "pending" || job.status === "running");
  const refused = await submitJob({ body: { type: "no-such-type" } });
  const listed = await listJobs({ query: { status: ["completed"], limit: 1 } });
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
