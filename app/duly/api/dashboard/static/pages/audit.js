import { Age, Button, Field, Needs, Page, Section } from '../components.js'
import { html, useState } from '../lib/preact.js'
import { setQuery } from '../lib/router.js'
import { Difference } from '../operations/difference.js'
import { Pages, Shown, usePages } from '../operations/lists.js'
import { isoOf, localOf } from '../operations/times.js'

const ACTIONS = [
  'batch.cancelled', 'job-type.declared', 'job-type.deleted', 'jobs.cancelled', 'jobs.retried', 'key.created',
  'key.revoked', 'key.rotated', 'ledger.repaired', 'limits.queue.changed', 'limits.submission.changed',
  'limits.type.changed', 'queue.paused', 'queue.resumed', 'schedule.changed', 'schedule.created',
  'schedule.deleted', 'signal.sent', 'submitter.granted', 'submitter.revoked', 'tenant.changed', 'tenant.created',
  'webhook.changed', 'webhook.created', 'webhook.deleted', 'webhook.rotated',
]

export default function Audit({ query }) {
  return html`
    <${Page} title="Audit" lead="Changes of keys, tenants, pauses, limits, schedules and endpoints, and bulk actions.">
      <${Needs} scope="admin" what="The audit log"><${Log} query=${query} /></${Needs}>
    </${Page}>`
}

function Log({ query }) {
  const filter = Object.fromEntries(['actor', 'action', 'since'].map(name => [name, query.get(name) ?? '']))
  const changes = usePages('/audit', { limit: 25, ...filter }, 10)
  return html`
    <${Section} title="Changes">
      <${Filter} key=${JSON.stringify(filter)} filter=${filter} />
      <${Shown} of=${changes} what="Loading the audit log…">
        ${({ items }) => items.length ? items.map(each => html`<${Change} key=${keyOf(each)} ...${each} />`)
          : html`<p class="empty">No such change.</p>`}
      </${Shown}>
      <${Pages} of=${changes} />
    </${Section}>`
}

const keyOf = ({ at, action, subject, requestId }) => [at, action, subject, requestId].join(' ')

/** The filters, which are exact and apply together. They are in the address of the view. */
function Filter({ filter }) {
  const [form, setForm] = useState(filter)
  const set = name => value => setForm(now => ({ ...now, [name]: value }))
  const apply = event => {
    event.preventDefault()
    setQuery(form)
  }
  return html`
    <form class="filters" onSubmit=${apply} aria-label="Filters">
      <${Field} label="Actor" value=${form.actor} onInput=${set('actor')} spellcheck=${false} />
      <${Field} label="Action" value=${form.action} onInput=${set('action')} spellcheck=${false} list="audit-actions" />
      <${Field} label="Since" type="datetime-local" step="1" value=${localOf(form.since)}
        onInput=${local => set('since')(isoOf(local))} />
      <datalist id="audit-actions">${ACTIONS.map(each => html`<option key=${each} value=${each} />`)}</datalist>
      <div class="actions">
        <${Button} type="submit" kind="primary">Filter</${Button}>
        ${Object.values(filter).some(Boolean) && html`<${Button} onClick=${() => setQuery({})}>Clear</${Button}>`}
      </div>
    </form>`
}

const Change = ({ at, actor, action, subject, before, after, requestId }) => html`
  <details class="change">
    <summary>
      <strong>${action}</strong> <span class="subject">${subject}</span>
      <span class="hint"> by ${actor}, <${Age} at=${at} /></span>
    </summary>
    <${Difference} before=${before} after=${after} of=${subject} />
    <p class="hint">All changes by <a href=${`/ui/audit?actor=${encodeURIComponent(actor)}`}>${actor}</a>.
      ${requestId && html` Request id: <code>${requestId}</code>`}</p>
  </details>`
