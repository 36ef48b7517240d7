import { Age, Duration, Id, Progress, Status, Table } from '../components.js'
import { html } from '../lib/preact.js'
import { queryOf } from './filter.js'

const COLUMNS = [
  { key: 'status', title: 'Status', cell: job => html`<${JobStatus} job=${job} />` },
  { key: 'type', title: 'Type', cell: job => html`<a href=${`/ui/jobs/${job.jobId}`}><bdi>${job.type}</bdi></a>` },
  { key: 'jobId', title: 'Id', cell: job => html`<${Id} value=${job.jobId} />` },
  { key: 'queue', title: 'Queue', cell: job => html`<bdi>${job.queue}</bdi>` },
  { key: 'labels', title: 'Labels', cell: job => html`<${Labels} labels=${job.labels} />` },
  { key: 'attempt', title: 'Attempt', numeric: true, cell: job => `${job.attempt} of ${job.maxAttempts}` },
  { key: 'createdAt', title: 'Created', cell: job => html`<${Age} at=${job.createdAt} />` },
  { key: 'duration', title: 'Run time', numeric: true, cell: job => html`<${RunTime} job=${job} />` },
]

/** A table of jobs. */
export const JobTable = ({ jobs, caption, empty }) =>
  html`<${Table} columns=${COLUMNS} rows=${jobs} rowKey=${job => job.jobId} caption=${caption} empty=${empty} />`

/** The status of a job with what it waits for, its progress or the code of its error. */
export function JobStatus({ job }) {
  const { status, waitingFor, progress, error, compensating } = job
  return html`
    <span class="job-status">
      <${Status} value=${compensating ? 'compensating' : status} />
      ${waitingFor && html`<span class="hint">waits for ${WAITS[waitingFor] ?? waitingFor}</span>`}
      ${status === 'running' && progress !== null && html`<${Progress} value=${progress} />`}
      ${status === 'failed' && error && html`<code>${error.code}</code>`}
    </span>`
}

const WAITS = {
  worker: 'a worker', time: 'its time', retry: 'a retry', dependencies: 'other jobs', concurrency: 'its key or limit',
  paused: 'a paused queue', timer: 'a timer', signal: 'a signal', held: 'a retry by hand',
}

/** Labels, each a link to the jobs that have it. */
export function Labels({ labels }) {
  const pairs = Object.entries(labels)
  if (!pairs.length) return '–'
  return html`
    <ul class="chips">
      ${pairs.map(([name, value]) => html`
        <li key=${name}><a class="label" href=${`/ui/jobs${queryOf({ label: `${name}:${value}` })}`}>
          <bdi>${name}</bdi>: <bdi>${value}</bdi></a></li>`)}
    </ul>`
}

function RunTime({ job }) {
  if (!job.startedAt || (job.status === 'pending' && !job.completedAt)) return '–'
  return html`<${Duration} from=${job.startedAt} to=${job.completedAt} />`
}
