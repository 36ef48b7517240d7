import { Age, Confirm, Page, Section, Status, Table, notify } from '../components.js'
import { send } from '../lib/api.js'
import { count, duration, rate } from '../lib/format.js'
import { html } from '../lib/preact.js'
import { Guarded } from '../operations/guarded.js'
import { LimitsButton, limitsText } from '../operations/limits.js'
import { Pages, Shown, usePages } from '../operations/lists.js'
import { SubmissionLimits } from '../operations/submission-limits.js'

const SECONDS = 3

export default function Queues() {
  return html`<${Guarded} scope="jobs:read" title="Queues"><${All} /></${Guarded}>`
}

function All() {
  const queues = usePages('/queues', { limit: 50 }, SECONDS)
  return html`
    <${Page} title="Queues" lead="Jobs that wait and run, by queue. A queue exists from its first job on.">
      <${Section} title="All queues">
        <${Shown} of=${queues} what="Loading queues…">
          ${({ items }) => html`<${Table} caption="Queues" columns=${columns(queues.refresh)} rows=${items}
            rowKey=${row => row.queue} />`}
        </${Shown}>
        <${Pages} of=${queues} newest="First" next="More" />
      </${Section}>
      <${SubmissionLimits} />
    </${Page}>`
}

const jobs = (queue, status, number) =>
  html`<a href=${`/ui/jobs?queue=${encodeURIComponent(queue)}&status=${status}`}>${count(number)}</a>`

const columns = refresh => [
  { key: 'queue', title: 'Queue', cell: row => html`<strong>${row.queue}</strong>` },
  { key: 'paused', title: 'State', cell: row => row.paused
    ? html`<${Status} value="paused" /> <${Age} at=${row.pausedAt} />` : html`<${Status} value="active" />` },
  { key: 'depth', title: 'Waiting', numeric: true, cell: row => jobs(row.queue, 'pending', row.depth) },
  { key: 'oldest', title: 'Oldest', numeric: true, cell: row => age(row.oldestAgeSeconds) },
  { key: 'running', title: 'Running', numeric: true, cell: row => jobs(row.queue, 'running', row.running) },
  { key: 'scheduled', title: 'Scheduled', numeric: true, cell: row => count(row.scheduled) },
  { key: 'parked', title: 'Parked', numeric: true, cell: row => count(row.parked) },
  { key: 'held', title: 'Held', numeric: true, cell: row => count(row.held) },
  { key: 'blocked', title: 'Blocked', numeric: true, cell: row => count(row.blocked) },
  { key: 'in', title: 'In', numeric: true, cell: row => rate(row.inPerSecond) },
  { key: 'out', title: 'Out', numeric: true, cell: row => rate(row.outPerSecond) },
  { key: 'limits', title: 'Limits', cell: row => limitsText(row.limits) },
  { key: 'actions', title: 'Actions', cell: row => html`<${Actions} row=${row} refresh=${refresh} />` },
]

const age = seconds => seconds === null ? '–' : duration(seconds * 1000)

function Actions({ row, refresh }) {
  const path = `/queues/${encodeURIComponent(row.queue)}`
  const act = (verb, done) => async () => {
    await send('POST', `${path}/${verb}`)
    notify(`Queue “${row.queue}” ${done}.`)
    refresh()
  }
  return html`
    <span class="actions">
      ${row.paused
        ? html`<${Confirm} key="resume" action="Resume" label=${`Resume ${row.queue}`} kind="small" scope="admin"
            title=${`Resume the queue “${row.queue}”?`} text="Its waiting jobs start again."
            onConfirm=${act('resume', 'resumed')} />`
        : html`<${Confirm} key="pause" action="Pause" label=${`Pause ${row.queue}`} kind="danger small" scope="admin"
            title=${`Pause the queue “${row.queue}”?`}
            text="No job of it starts until it is resumed. Running jobs continue, and jobs may still be submitted."
            onConfirm=${act('pause', 'paused')} />`}
      <${LimitsButton} path=${`${path}/limits`} of=${`queue “${row.queue}”`} onChanged=${refresh} />
    </span>`
}
