import { Age, Confirm, Duration, JsonText, KeyValue, Notice, Page, Section, Status, Table, Time, notify }
  from '../components.js'
import { getText, send } from '../lib/api.js'
import { member } from '../lib/json.js'
import { usePolled } from '../lib/live.js'
import { html } from '../lib/preact.js'
import { navigate } from '../lib/router.js'
import { DueTimes } from '../operations/due-times.js'
import { Opener } from '../operations/forms.js'
import { Guarded } from '../operations/guarded.js'
import { Pages, Shown, usePages, useResource } from '../operations/lists.js'
import { ScheduleActions } from '../operations/schedule-actions.js'
import { ScheduleForm } from '../operations/schedule-form.js'

const DUE_TIMES = 10

export default function Schedule({ params }) {
  return html`<${Guarded} scope="schedules" title=${params.name}><${One} name=${params.name} /></${Guarded}>`
}

function One({ name }) {
  const path = `/schedules/${encodeURIComponent(name)}`
  const text = usePolled(signal => getText(path, {}, { signal }), 5, [path])
  const schedule = text.data === undefined ? null : JSON.parse(text.data)
  const dueTimes = useResource(`${path}/due-times`, { count: DUE_TIMES }, 30)
  const runs = usePages(`${path}/runs`, { limit: 20 }, 5)
  const refresh = () => [text, dueTimes, runs].forEach(each => each.refresh())
  const actions = schedule && html`<${Actions} ...${{ schedule, refresh }} text=${text.data} />`
  return html`
    <${Page} title=${name} actions=${actions}>
      <p><a href="/ui/schedules">All schedules</a></p>
      <${Shown} of=${text}>
        ${() => html`
          <${Facts} schedule=${schedule} />
          <${Section} title=${`Next ${DUE_TIMES} due times`}>
            <${Shown} of=${dueTimes}>
              ${found => html`
                ${found.paused && html`<${Notice}>The schedule is paused. Otherwise it would be due then.</${Notice}>`}
                <${DueTimes} ...${found} />`}
            </${Shown}>
          </${Section}>
          <${Section} title="Last runs">
            <${Shown} of=${runs}>
              ${({ items }) => html`<${Table} caption="Last runs" columns=${RUNS} rows=${items}
                rowKey=${row => row.dueAt} empty="It has not run within the last 30 days." />`}
            </${Shown}>
            <${Pages} of=${runs} />
          </${Section}>
          <${Section} title="Submission">
            <${JsonText} text=${member(text.data, 'submission')} label="submission" />
          </${Section}>`}
      </${Shown}>
    </${Page}>`
}

function Actions({ schedule, text, refresh }) {
  const remove = async () => {
    await send('DELETE', `/schedules/${encodeURIComponent(schedule.name)}`)
    notify(`Schedule “${schedule.name}” deleted.`)
    navigate('/ui/schedules')
  }
  return html`
    <${ScheduleActions} schedule=${schedule} onChanged=${refresh} />
    <${Opener} action="Change" scope="schedules">
      ${close => html`<${ScheduleForm} ...${{ schedule, text }} onSaved=${refresh} onClose=${close} />`}
    </${Opener}>
    <${Confirm} action="Delete" scope="schedules" title=${`Delete “${schedule.name}”?`} onConfirm=${remove}
      text="Jobs that it has submitted continue." />`
}

const OVERLAP = { allow: 'the next one is submitted', skip: 'the due time is skipped' }
const CATCH_UP = { none: 'none is run', last: 'the last one is run', all: 'all are run' }

const Facts = ({ schedule }) => html`
  ${schedule.lastError && html`<${Notice} tone="bad">
    <p><strong>The job of <${Time} at=${schedule.lastError.dueAt} /> was refused:
      ${' '}${schedule.lastError.message}</strong></p>
    <p>${schedule.lastError.details?.reason}</p></${Notice}>`}
  ${schedule.workers === 0 && html`<${Notice}>No live worker declares this schedule. It continues to submit jobs until
    it is deleted.</${Notice}>`}
  <${Section} title="Schedule">
    <${KeyValue} items=${[
      ['State', html`<${Status} value=${schedule.paused ? 'paused' : 'active'} />`],
      ['Cron expression', html`<code>${schedule.cron}</code>`],
      ['Time zone', schedule.timezone],
      ['Job type', html`<a href=${`/ui/types?type=${encodeURIComponent(schedule.submission.type)}`}>
        ${schedule.submission.type}</a>`],
      ['If the last job has not ended', OVERLAP[schedule.overlap]],
      ['Due times that were missed', CATCH_UP[schedule.catchUp]],
      ['Declared by', schedule.declaredBy === 'handler' ? `handler (${schedule.workers} live)` : schedule.declaredBy],
      ['Next', html`<${Age} at=${schedule.nextRunAt} />`],
      ['Last changed', html`<${Time} at=${schedule.updatedAt} />`],
    ]} />
  </${Section}>`

const RUNS = [
  { key: 'dueAt', title: 'Due', cell: row => html`<${Time} at=${row.dueAt} />` },
  { key: 'status', title: 'Status', cell: row => html`
    <${Status} value=${row.status ?? (row.jobId ? 'deleted' : 'skipped')} />` },
  { key: 'duration', title: 'Duration', cell: row => row.startedAt && html`
    <${Duration} from=${row.startedAt} to=${row.completedAt} />` },
  { key: 'job', title: 'Job', cell: row => row.jobId && html`
    <a href=${`/ui/jobs/${row.jobId}`}><code>${row.jobId}</code></a>` },
]
