/** Types of jobs, submissions and stream frames; the remaining ones are those of the OpenAPI document. */

import type { components } from "./schema.js";

type Schemas = components["schemas"];

/** Parameters and results of job types, by name: what `duly types --lang ts` writes. */
export type JobTypes<Name extends PropertyKey = string> = {
  [Type in Name]: { parameters?: unknown; result?: unknown };
};

/** Job types without further information. */
export type AnyJobTypes = Record<string, { parameters: unknown; result: unknown }>;

export type JobStatus = Schemas["JobStatus"];
export type JobError = Schemas["JobErrorBody"];

/** Job to submit. Only `type` is required. */
export type Submission = Schemas["Submission"];

type JobMembers = Omit<Schemas["JobBody"], "status" | "result">;

/** Job that has not ended. */
export type UnfinishedJob = JobMembers & { result: null } & ({ status: "pending" } | { status: "running" });
/** Job that completed. Without the scope `jobs:payload`, its result is null whatever the type says. */
export type CompletedJob<Result = unknown> = JobMembers & { status: "completed"; result: Result };
/** Job that failed or was cancelled. */
export type UnsuccessfulJob = JobMembers & { result: null } & ({ status: "failed" } | { status: "cancelled" });
export type EndedJob<Result = unknown> = CompletedJob<Result> | UnsuccessfulJob;
export type Job<Result = unknown> = UnfinishedJob | EndedJob<Result>;

declare const resultType: unique symbol;

/** Accepted job, with the type of its result. It is durable. */
export type AcceptedJob<Result = unknown> = Schemas["AcceptedBody"] & { readonly [resultType]?: Result };
export type AcceptedBatch = Schemas["AcceptedBatchBody"];

/** Id of a job, or an object that has it. */
export type JobReference<Result = unknown> = string | { jobId: string; readonly [resultType]?: Result };

interface FrameMembers {
  /** Id to resume after. */
  id: string;
  jobId: string;
  /** Number of the event in its job, from 0 and without gaps. */
  sequence: number;
  /** Time of the event, by the clock of the database. */
  at: string;
}

/** Event of a job as a frame of a stream. Further types may be added: ignore unknown ones. */
export type JobFrame<Result = unknown> = FrameMembers &
  (
    | { type: "job_submitted" }
    | { type: "job_started" | "job_cancel_requested"; attempt: number }
    | { type: "job_progress"; progress: number | null; message: string | null }
    | { type: "job_retrying"; attempt: number; error?: JobError }
    | { type: "job_step_completed" | "job_step_compensated"; attempt: number; step: string; attempts: number }
    | { type: "job_parked"; attempt: number; until: string | null; signals: string[] }
    | { type: "job_resumed"; attempt: number; reason?: string; signal?: string; signals?: string[] }
    | { type: "job_signalled"; attempt: number; signal: string }
    | { type: "job_compensating"; attempt: number; steps: string[] }
    | { type: "job_held"; attempt: number; error: JobError }
    | { type: "job_completed"; attempt: number; result: Result }
    | { type: "job_failed" | "job_cancelled"; attempt: number; error: JobError }
  );
