// The form of an endpoint.
import { Field, TextAreaField, notify } from '../components.js'
import { send } from '../lib/api.js'
import { jsonError } from '../lib/json.js'
import { html, useState } from '../lib/preact.js'
import { CheckField, ChoiceField, FormDialog, numberOf, wordsOf } from './forms.js'

const EVENTS = ['*', 'job.started', 'job.progress', 'job.retrying', 'job.completed', 'job.failed', 'job.cancelled',
  'batch.completed'].map(name => [name, name === '*' ? 'all events (*)' : name])

/** Registers an endpoint, or changes `endpoint`. `onSaved` gets what the API answered, with the secret of a new one. */
export function EndpointForm({ endpoint, onSaved, onClose }) {
  const [form, setForm] = useState(() => inFields(endpoint ?? NEW))
  const [before] = useState(form)
  const set = name => value => setForm(now => ({ ...now, [name]: value }))
  const save = async () => {
    refuseInvalid(form)
    const members = fromFields(form, endpoint ? before : null)
    const saved = endpoint
      ? await send('PATCH', `/webhooks/${endpoint.webhookId}`, members) : await send('POST', '/webhooks', members)
    notify(`Endpoint ${endpoint ? 'changed' : 'created'}.`)
    onSaved(saved)
    onClose()
  }
  return html`
    <${FormDialog} title=${endpoint ? 'Change the endpoint' : 'Create an endpoint'}
      submit=${endpoint ? 'Save' : 'Create'} onSubmit=${save} onClose=${onClose}>
      ${at => html`
        <${Field} label="URL" inputmode="url" value=${form.url} onInput=${set('url')} error=${at('url')}
          spellcheck=${false} />
        <${Field} label="Description" value=${form.description} onInput=${set('description')}
          error=${at('description')} />
        <${ChoiceField} legend="Events" options=${EVENTS} value=${form.events} onInput=${set('events')}
          error=${at('events')} />
        <${Field} label="Job types" value=${form.types} onInput=${set('types')} error=${at('types')}
          hint="Separated by commas; empty for all." />
        <${TextAreaField} label="Labels that a job must have (JSON object)" rows="2" value=${form.labels}
          onInput=${set('labels')} error=${at('labels')} spellcheck=${false} />
        <${TextAreaField} label="Headers (JSON object)" rows="2" value=${form.headers} onInput=${set('headers')}
          error=${at('headers')} spellcheck=${false} hint=${endpoint
            ? `Empty: they stay as they are${names(endpoint)}. {} removes all. Their values are never shown.`
            : 'Sent with each webhook, such as {"Authorization": "Bearer …"}. Their values are never shown again.'} />
        <${Field} label="Webhooks in flight at once" inputmode="numeric" value=${form.concurrency}
          onInput=${set('concurrency')} error=${at('limits.concurrency')} hint="Empty for no limit." />
        <${CheckField} label="Sign with a key pair too (v1a)" checked=${form.asymmetric} onInput=${set('asymmetric')} />
        <${CheckField} label="Paused" checked=${form.paused} onInput=${set('paused')} />`}
    </${FormDialog}>`
}

const names = ({ headerNames }) => headerNames?.length ? ` (${headerNames.join(', ')})` : ''

const NEW = {
  url: '', description: '', events: ['*'], types: [], labels: {}, paused: false, signatures: ['v1'], limits: {},
}

const inFields = ({ url, description, events, types, labels, paused, signatures, limits }) => ({
  url, events, paused, headers: '', rate: limits.rate ?? null,
  description: description ?? '',
  types: types.join(', '),
  labels: Object.keys(labels).length ? JSON.stringify(labels) : '',
  concurrency: limits.concurrency ?? '',
  asymmetric: signatures.includes('v1a'),
})

/** Throws the errors of fields that must be JSON objects. */
function refuseInvalid({ labels, headers }) {
  const errors = {}
  for (const [name, text] of Object.entries({ labels, headers })) {
    if (!text.trim()) continue
    if (jsonError(text)) errors[name] = `is not JSON: ${jsonError(text)}`
    else if (!text.trim().startsWith('{')) errors[name] = 'must be a JSON object'
  }
  if (Object.keys(errors).length) throw errors
}

/** Returns the members of the request; only those that differ from `before`, if there is one. */
function fromFields(form, before) {
  const members = {
    url: form.url, description: form.description || null, events: form.events, types: wordsOf(form.types),
    labels: form.labels.trim() ? JSON.parse(form.labels) : {},
    limits: { concurrency: numberOf(form.concurrency), rate: form.rate },
    signatures: form.asymmetric ? ['v1', 'v1a'] : ['v1'],
    paused: form.paused,
    ...(form.headers.trim() ? { headers: JSON.parse(form.headers) } : {}),
  }
  if (!before) return members
  const field = { limits: 'concurrency', signatures: 'asymmetric' }
  return Object.fromEntries(Object.entries(members)
    .filter(([name]) => form[field[name] ?? name] !== before[field[name] ?? name]))
}
