import { Age, Needs, Notice, Page, Section, Status, Table, Time } from '../components.js'
import { html } from '../lib/preact.js'
import { navigate } from '../lib/router.js'
import { Opener } from '../operations/forms.js'
import { Pages, Shown, usePages } from '../operations/lists.js'
import { ScheduleActions } from '../operations/schedule-actions.js'
import { ScheduleForm } from '../operations/schedule-form.js'

export default function Schedules() {
  return html`
    <${Page} title="Schedules" lead="Jobs that are submitted at the times of a cron expression.">
      <${Needs} scope="schedules" what="The list of schedules"><${List} /></${Needs}>
    </${Page}>`
}

const address = name => `/ui/schedules/${encodeURIComponent(name)}`

function List() {
  const schedules = usePages('/schedules', { limit: 50 }, 5)
  const create = html`<${Opener} action="Create" kind="primary" scope="schedules" aria-label="Create a schedule">
    ${close => html`<${ScheduleForm} onClose=${close} onSaved=${name => navigate(address(name))} />`}</${Opener}>`
  return html`
    <${Section} title="All schedules" actions=${create}>
      <${Shown} of=${schedules} what="Loading schedules…">
        ${({ items }) => html`
          <${Failures} items=${items} />
          <${Table} caption="Schedules" columns=${columns(schedules.refresh)} rows=${items} rowKey=${row => row.name}
            empty="There is no schedule yet. Create one here, by the API, or in the code of a handler." />`}
      </${Shown}>
      <${Pages} of=${schedules} newest="First" next="More" />
    </${Section}>`
}

const Failures = ({ items }) => items.filter(row => row.lastError).map(row => html`
  <${Notice} key=${row.name} tone="bad">The job of <a href=${address(row.name)}>${row.name}</a> was refused at
    <${Time} at=${row.lastError.dueAt} />: ${row.lastError.message}</${Notice}>`)

const columns = refresh => [
  { key: 'name', title: 'Schedule', cell: row => html`<a href=${address(row.name)}>${row.name}</a>` },
  { key: 'state', title: 'State', cell: row => html`<${Status} value=${row.paused ? 'paused' : 'active'} />` },
  { key: 'cron', title: 'Cron', cell: row => html`<code>${row.cron}</code>` },
  { key: 'timezone', title: 'Time zone' },
  { key: 'type', title: 'Job type', cell: row => row.submission.type },
  { key: 'next', title: 'Next', cell: row => row.nextRunAt && html`<${Age} at=${row.nextRunAt} />` },
  { key: 'last', title: 'Last', cell: row => row.lastJob && html`
    <a href=${`/ui/jobs/${row.lastJob.jobId}`}><${Age} at=${row.lastJob.dueAt} /></a>` },
  { key: 'declared', title: 'Declared by', cell: declared },
  { key: 'actions', title: 'Actions', cell: row => html`
    <span class="actions"><${ScheduleActions} schedule=${row} onChanged=${refresh} /></span>` },
]

const declared = row => row.declaredBy === 'handler' ? `handler, ${row.workers} live` : row.declaredBy
