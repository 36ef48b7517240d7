// The forms of API keys.
import { Field, Notice, notify } from '../components.js'
import { send } from '../lib/api.js'
import { html, useState } from '../lib/preact.js'
import { can, session } from '../lib/session.js'
import { ChoiceField, FormDialog, numberOf, wordsOf } from './forms.js'
import { isoOf } from './times.js'

const SCOPES = [
  ['jobs:read', 'jobs:read: read jobs, events, queues and types'],
  ['jobs:payload', 'jobs:payload: see parameters, results, error texts and logs'],
  ['jobs:write', 'jobs:write: submit, cancel, retry and signal jobs'],
  ['webhooks', 'webhooks: endpoints and deliveries'],
  ['schedules', 'schedules: schedules'],
  ['worker', 'worker: run jobs over HTTP and declare job types'],
  ['admin', 'admin: keys, limits, pauses, bulk operations, audit log'],
  ['operator', 'operator: tenants and the installation'],
]

/** Creates a key. `onCreated` gets what the API answered, with the key. */
export function KeyForm({ onCreated, onClose }) {
  const [form, setForm] = useState({ name: '', scopes: ['jobs:read'], types: '', queues: '', expires: '' })
  const set = name => value => setForm(now => ({ ...now, [name]: value }))
  const save = async () => {
    const { name, scopes, types, queues, expires } = form
    const created = await send('POST', '/keys', {
      name, scopes, types: boundsOf(types), queues: boundsOf(queues), expiresAt: isoOf(expires) || null,
    })
    onClose()
    await onCreated(created)
  }
  return html`
    <${FormDialog} title="Create a key" submit="Create" onSubmit=${save} onClose=${onClose}>
      ${at => html`
        ${session().open && html`<${Notice}>This is the first key: from then on every request needs one. This session
          goes on with it. Include the scope admin to make more keys here.</${Notice}>`}
        <${Field} label="Name" value=${form.name} onInput=${set('name')} error=${at('name')}
          hint="Its purpose or owner." />
        <${ChoiceField} legend="Scopes" value=${form.scopes} onInput=${set('scopes')} error=${at('scopes')}
          options=${SCOPES.filter(([name]) => name !== 'operator' || can('operator'))} />
        <${Field} label="Job types of a worker" value=${form.types} onInput=${set('types')} error=${at('types')}
          hint="Separated by commas; empty for all." />
        <${Field} label="Queues of a worker" value=${form.queues} onInput=${set('queues')} error=${at('queues')}
          hint="Separated by commas; empty for all." />
        <${Field} label="Expires" type="datetime-local" value=${form.expires} onInput=${set('expires')}
          error=${at('expiresAt')} hint="In the time zone of this browser; empty for never." />`}
    </${FormDialog}>`
}

const boundsOf = text => wordsOf(text).length ? wordsOf(text) : null

/** Rotates a key. `onRotated` gets what the API answered, with the new key. */
export function RotateForm({ row, onRotated, onClose }) {
  const [hours, setHours] = useState('24')
  const rotate = async () => {
    const value = numberOf(hours)
    const overlapSeconds = typeof value === 'number' ? Math.round(value * 3600) : value
    const created = await send('POST', `/keys/${encodeURIComponent(row.keyId)}/rotate`, { overlapSeconds })
    notify(`Key “${row.name}” rotated.`)
    onRotated(created)
    onClose()
  }
  return html`
    <${FormDialog} title=${`Rotate the key “${row.name}”?`} submit="Rotate" onSubmit=${rotate} onClose=${onClose}>
      ${at => html`
        <p>A new key with the same rights is created. The old one stays valid for this time.</p>
        <${Field} label="Hours until the old key ends" inputmode="decimal" value=${hours} onInput=${setHours}
          error=${at('overlapSeconds')} />`}
    </${FormDialog}>`
}
