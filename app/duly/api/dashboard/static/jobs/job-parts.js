// Parts of the view of one job.
import {
  Button, Duration, Id, JsonText, KeyValue, Needs, Progress, Section, Status, Table, Time,
} from '../components.js'
import { html } from '../lib/preact.js'
import { can } from '../lib/session.js'
import { queryOf } from './filter.js'
import { JobStatus, JobTable, Labels } from './job-table.js'
import { useLiveJobs } from './live-jobs.js'

const jobLink = jobId => html`<${Id} value=${jobId} href=${`/ui/jobs/${jobId}`} />`

/** The state of a job, with the reason in one sentence. */
export function Summary({ job, why }) {
  const { queue, type, priority, attempt, maxAttempts, createdAt, runAt, startedAt, completedAt } = job
  return html`
    <${Section} title="State">
      <div class="actions"><${JobStatus} job=${{ ...job, progress: null }} /></div>
      ${why && html`<p class="why">${why.message}</p>`}
      ${job.progress !== null && html`<div><${Progress} value=${job.progress} />
        ${job.progressMessage && html` <bdi>${job.progressMessage}</bdi>`}</div>`}
      <${KeyValue} items=${[
        ['Id', html`<${Id} value=${job.jobId} whole />`],
        ['Type', html`<a href=${`/ui/jobs${queryOf({ type })}`}><bdi>${type}</bdi></a>`],
        ['Queue', html`<a href=${`/ui/jobs${queryOf({ queue })}`}><bdi>${queue}</bdi></a>`],
        ['Attempt', `${attempt} of ${maxAttempts}`],
        ['Priority', priority],
        ['Created', html`<${Time} at=${createdAt} />`],
        ['Runs at', runAt ? html`<${Time} at=${runAt} />` : undefined],
        ['Started', startedAt ? html`<${Time} at=${startedAt} />` : undefined],
        ['Ended', completedAt ? html`<${Time} at=${completedAt} />` : undefined],
        ['Since submission', html`<${Duration} from=${createdAt} to=${completedAt} />`],
        ['Correlation id', html`<code>${job.correlationId}</code>`],
        ['Labels', Object.keys(job.labels).length ? html`<${Labels} labels=${job.labels} />` : undefined],
        ['Batch', job.batchId ? html`<${Id} value=${job.batchId} href=${`/ui/batches/${job.batchId}`} />` : undefined],
        ['Parent', job.parentId ? jobLink(job.parentId) : undefined],
        ['Depends on', job.dependsOn.length ? html`<ul class="chips">${job.dependsOn.map(each => html`
          <li key=${each}>${jobLink(each)}</li>`)}</ul>` : undefined],
      ]} />
    </${Section}>`
}

/** The error of a job, with the frames of the handler's code. */
export function Failure({ error, title = 'Error' }) {
  const { code, message, details } = error
  const frames = details?.frames ?? []
  return html`
    <${Section} title=${title}>
      <p><code>${code}</code>${message && html` <bdi class="prose">${message}</bdi>`}</p>
      ${message === null && html`<${MissingPayload} what="The text of the error" />`}
      ${details && html`<${KeyValue} items=${[
        ['Reason', details.reason && details.reason !== message ? html`<bdi>${details.reason}</bdi>` : undefined],
        ['Exception', details.exception ? html`<code>${details.exception}</code>` : undefined],
        ['Attempt', details.attempt ?? undefined],
        ['A retry follows', details.retryable ? 'yes' : 'no'],
        ['Steps left', details.steps?.length ? details.steps.join(', ') : undefined],
      ]} />`}
      ${frames.length > 0 && html`<ol class="frames" aria-label="Frames, innermost last">
        ${frames.map(({ file, line, function: name }) => html`
          <li><code>${file}:${line}</code> in <code>${name}</code></li>`)}</ol>`}
    </${Section}>`
}

/** Parameters and result as exact JSON. */
export function Payload({ job, texts }) {
  if (!can('jobs:payload')) return html`
    <${Section} title="Parameters and result"><${MissingPayload} what="This" /></${Section}>`
  return html`
    <div class="grid">
      <${Section} title="Parameters"><${JsonText} text=${texts.parameters} label="parameters" /></${Section}>
      <${Section} title="Result">
        ${job.status === 'completed' ? html`<${JsonText} text=${texts.result} label="result" />`
          : html`<p class="empty">The job has not completed.</p>`}
      </${Section}>
    </div>`
}

const MissingPayload = ({ what }) => html`<${Needs} scope="jobs:payload" what=${what} />`

/** Recorded steps, timers and signals; nothing without any. */
export function Steps({ steps }) {
  if (!steps.length) return null
  const columns = [
    { key: 'name', title: 'Name', cell: ({ value }) => html`<code>${value.name}</code>` },
    { key: 'kind', title: 'Kind', cell: ({ value }) => value.kind },
    { key: 'status', title: 'Status', cell: ({ value }) => html`<${Status} value=${value.status.replace('_', ' ')}
      tone=${{ compensated: 'warn', timed_out: 'warn' }[value.status]} />` },
    { key: 'tries', title: 'Tries', numeric: true, cell: ({ value }) => value.attempts },
    { key: 'took', title: 'Took', numeric: true, cell: ({ value }) => value.startedAt && value.completedAt
      ? html`<${Duration} from=${value.startedAt} to=${value.completedAt} />` : '–' },
    { key: 'at', title: 'Recorded', cell: ({ value }) => value.completedAt ? html`<${Time} at=${value.completedAt} />`
      : html`waits${value.until && html` until <${Time} at=${value.until} />`}` },
    { key: 'undo', title: 'Compensation', cell: ({ value }) => value.compensable ? 'yes' : 'no' },
    { key: 'result', title: 'Result', cell: item => html`<${StepResult} ...${item} />` },
  ]
  return html`
    <${Section} title="Steps"><${Table} columns=${columns} rows=${steps} caption="Steps, timers and signals"
      rowKey=${({ value }) => `${value.kind} ${value.name}`} /></${Section}>`
}

function StepResult({ value, result }) {
  if (!can('jobs:payload')) return html`
    <span class="hint" title="This needs a key with the scope jobs:payload.">hidden</span>`
  if (!value.completedAt || value.kind === 'timer') return '–'
  return html`<details><summary>show<span class="visually-hidden"> the result of ${value.name}</span></summary>
    <${JsonText} text=${result} label=${`result of ${value.name}`} /></details>`
}

/** Child jobs; nothing without any. */
export function Children({ jobId }) {
  const list = useLiveJobs({ parentId: [jobId] }, { limit: 20 })
  if (!list.jobs?.length && !list.newer) return null
  return html`
    <${Section} title="Child jobs">
      ${list.newer > 0 && html`
        <div><${Button} onClick=${async () => list.reload()}>Show newer child jobs</${Button}></div>`}
      <${JobTable} jobs=${list.jobs} caption="Child jobs, newest first" />
      ${list.next && html`<p><a href=${`/ui/jobs${queryOf({ parentId: jobId })}`}>All child jobs</a></p>`}
    </${Section}>`
}
