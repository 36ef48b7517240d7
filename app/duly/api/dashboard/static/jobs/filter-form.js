import { Button, Field, Time } from '../components.js'
import { get } from '../lib/api.js'
import { html, useState } from '../lib/preact.js'
import { navigate } from '../lib/router.js'
import { added, chosen, isEmpty, isJobId, NAMES, STATUSES, without } from './filter.js'

// A phone shows the jobs first.
const WIDE = window.matchMedia('(min-width: 48rem)')
const MOMENT = { type: 'datetime-local', step: 1, title: 'In the time zone of this browser.' }
const EMPTY = { jobId: '', type: '', queue: '', label: '', batchId: '', createdAfter: '', createdBefore: '' }

/** Filters of the job list. `onChange` gets the whole filter. */
export function FilterForm({ filter, onChange }) {
  return html`
    <section class="section" aria-label="Filters">
      <${StatusButtons} ...${{ filter, onChange }} />
      <${Chips} ...${{ filter, onChange }} />
      <details open=${WIDE.matches}>
        <summary>More filters</summary>
        <${Fields} ...${{ filter, onChange }} />
      </details>
    </section>`
}

function StatusButtons({ filter, onChange }) {
  const toggle = status => onChange(
    filter.status.includes(status) ? without(filter, 'status', status) : added(filter, 'status', status),
  )
  return html`
    <div class="actions" role="group" aria-label="Status">
      ${STATUSES.map(status => html`
        <button key=${status} type="button" class="button small" onClick=${() => toggle(status)}
          aria-pressed=${filter.status.includes(status) ? 'true' : 'false'}>${status}</button>`)}
    </div>`
}

function Fields({ filter, onChange }) {
  const [typed, setTyped] = useState(EMPTY)
  const [errors, setErrors] = useState({})
  const [names, setNames] = useState(null)
  const set = name => value => setTyped(before => ({ ...before, [name]: value }))
  const apply = event => {
    event.preventDefault()
    const found = errorsOf(typed)
    setErrors(found)
    if (Object.keys(found).length) return
    if (typed.jobId.trim()) return navigate(`/ui/jobs/${typed.jobId.trim().toLowerCase()}`)
    setTyped(EMPTY)
    onChange(withTyped(filter, typed))
  }
  // Names are read once they are of use, so that the list is shown first.
  const readNames = () => {
    if (names) return
    setNames({ type: [], queue: [] })
    namesOfService().then(setNames, () => {})
  }
  const field = (name, label, others = {}) => html`<${Field} key=${name} label=${label} value=${typed[name]}
    onInput=${set(name)} error=${errors[name]} autocomplete="off" spellcheck="false" ...${others} />`
  return html`
    <form class="form" onSubmit=${apply} onFocusIn=${readNames}>
      <div class="filters">
        ${field('jobId', 'Job id', { placeholder: 'opens the job' })}
        ${field('type', 'Type', { list: 'names-of-type' })}
        ${field('queue', 'Queue', { list: 'names-of-queue' })}
        ${field('label', 'Label', { placeholder: 'name:value' })}
        ${field('batchId', 'Batch id')}
        ${field('createdAfter', 'Created from', MOMENT)}
        ${field('createdBefore', 'Created before', MOMENT)}
      </div>
      ${['type', 'queue'].map(name => html`
        <datalist key=${name} id=${`names-of-${name}`}>
          ${names?.[name].map(each => html`<option key=${each} value=${each} />`)}
        </datalist>`)}
      <div class="actions">
        <button type="submit" class="button primary">Apply</button>
        <${Button} disabled=${isEmpty(filter)} onClick=${() => onChange({})}>Clear all</${Button}>
      </div>
    </form>`
}

async function namesOfService() {
  const [types, queues] = await Promise.all([get('/job-types', { limit: 200 }), get('/queues', { limit: 200 })])
  return { type: types.items.map(each => each.type), queue: queues.items.map(each => each.queue) }
}

function errorsOf({ jobId, batchId, label }) {
  const found = {}
  if (jobId.trim() && !isJobId(jobId)) found.jobId = 'must be the whole id of a job'
  if (batchId.trim() && !isJobId(batchId)) found.batchId = 'must be the whole id of a batch'
  if (label.trim() && !label.includes(':')) found.label = 'must be name:value'
  return found
}

function withTyped(filter, typed) {
  const times = ['createdAfter', 'createdBefore']
  return Object.entries(typed).reduce((changed, [name, text]) => {
    if (name === 'jobId' || !text.trim()) return changed
    return added(changed, name, times.includes(name) ? new Date(text).toISOString() : text.trim())
  }, filter)
}

/** The filters in force, each as a button that removes it. */
function Chips({ filter, onChange }) {
  const found = chosen(filter)
  if (!found.length) return null
  return html`
    <ul class="chips" aria-label="Filters in force">
      ${found.map(([name, value]) => html`
        <li key=${`${name} ${value}`}>
          <button type="button" class="button small" onClick=${() => onChange(without(filter, name, value))}>
            <span><span class="visually-hidden">Remove the filter </span>${NAMES[name]}:
              <bdi> ${name.startsWith('created') ? html`<${Time} at=${value} />` : value}</bdi></span>
            <span aria-hidden="true">✕</span></button>
        </li>`)}
    </ul>`
}
