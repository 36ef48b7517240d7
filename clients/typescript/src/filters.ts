/** Filters of lists, streams and bulk operations. */

import type { Query } from "./transport.js";
import type { JobStatus } from "./types.js";

/** Filters of a stream: a job matches if it has one of the values of each filter, and all labels. */
export interface StreamFilter {
  types?: readonly string[] | undefined;
  queues?: readonly string[] | undefined;
  batchIds?: readonly string[] | undefined;
  labels?: Readonly<Record<string, string>> | undefined;
}

/** Filters of a list and of bulk operations. */
export interface JobFilter extends StreamFilter {
  statuses?: readonly JobStatus[] | undefined;
  /** RFC 3339, or a date. */
  createdAfter?: string | Date | undefined;
  createdBefore?: string | Date | undefined;
  parentIds?: readonly string[] | undefined;
}

export function queryOf(filter: JobFilter): Query {
  return {
    type: filter.types,
    queue: filter.queues,
    batchId: filter.batchIds,
    label: Object.entries(filter.labels ?? {}).map(([name, value]) => `${name}:${value}`),
    parentId: filter.parentIds,
    status: filter.statuses,
    createdAfter: timeOf(filter.createdAfter),
    createdBefore: timeOf(filter.createdBefore),
  };
}

function timeOf(time: string | Date | undefined): string | undefined {
  return time instanceof Date ? time.toISOString() : time;
}
