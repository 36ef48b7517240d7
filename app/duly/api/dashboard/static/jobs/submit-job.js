import { Button, Dialog, ErrorNotice, Field, notify, TextAreaField } from '../components.js'
import { get, send } from '../lib/api.js'
import { jsonError } from '../lib/json.js'
import { usePolled } from '../lib/live.js'
import { html, useRef, useState } from '../lib/preact.js'
import { navigate } from '../lib/router.js'

const EMPTY = { type: '', parameters: '{}', queue: '', priority: '', delaySeconds: '', maxAttempts: '', labels: '' }
const NUMBERS = ['priority', 'delaySeconds', 'maxAttempts']

/** A button that opens the form of a submission. */
export function SubmitJob() {
  const [open, setOpen] = useState(false)
  return html`
    <${Button} kind="primary" scope="jobs:write" onClick=${() => setOpen(true)}>Submit job</${Button}>
    ${open && html`<${SubmitDialog} onClose=${() => setOpen(false)} />`}`
}

function SubmitDialog({ onClose }) {
  const [typed, setTyped] = useState(EMPTY)
  const [error, setError] = useState(null)
  const sent = useRef({})
  const types = usePolled(signal => get('/job-types', { limit: 200 }, { signal }), 0)
  const known = types.data?.items ?? []
  const errors = { ...errorsOf(typed), ...fieldsOf(error) }
  const set = name => value => setTyped(before => ({ ...before, [name]: value }))
  const submit = async () => {
    setError(null)
    const body = bodyOf(typed)
    // The same body again after a lost response is the same submission.
    if (sent.current.body !== body) sent.current = { body, key: newKey() }
    try {
      const { jobId } = await send('POST', '/jobs', body, { 'Idempotency-Key': sent.current.key })
      notify('Job submitted.')
      onClose()
      navigate(`/ui/jobs/${jobId}`)
    } catch (found) {
      setError(found)
    }
  }
  const field = (name, label, others) => html`<${Field} label=${label} value=${typed[name]} onInput=${set(name)}
    error=${errors[name]} autocomplete="off" ...${others} />`
  const incomplete = !typed.type.trim() || Object.keys(errorsOf(typed)).length > 0
  return html`
    <${Dialog} title="Submit a job" onClose=${onClose}>
      <form class="form" onSubmit=${event => event.preventDefault()}>
        ${field('type', 'Job type', {
          list: 'submit-types', required: true, hint: known.find(each => each.type === typed.type)?.description,
        })}
        <datalist id="submit-types">${known.map(({ type }) => html`<option key=${type} value=${type} />`)}</datalist>
        <${TextAreaField} label="Parameters (JSON)" value=${typed.parameters} onInput=${set('parameters')}
          error=${errors.parameters} spellcheck="false" hint="Sent exactly as written." />
        <div class="filters">
          ${field('queue', 'Queue', { placeholder: 'default' })}
          ${field('priority', 'Priority', { inputmode: 'numeric', placeholder: '0' })}
          ${field('delaySeconds', 'Delay in seconds', { inputmode: 'decimal', placeholder: '0' })}
          ${field('maxAttempts', 'Attempts', { inputmode: 'numeric' })}
        </div>
        <${TextAreaField} label="Labels" rows="2" value=${typed.labels} onInput=${set('labels')} error=${errors.labels}
          hint="One name:value a line." />
        <${ErrorNotice} error=${error} />
        <div class="actions">
          <button type="button" class="button" onClick=${onClose}>Close</button>
          <${Button} kind="primary" type="submit" disabled=${incomplete} onClick=${submit}>Submit</${Button}>
        </div>
      </form>
    </${Dialog}>`
}

function errorsOf({ parameters, labels, ...others }) {
  const found = {}
  const invalid = jsonError(parameters)
  if (invalid) found.parameters = `Not JSON: ${invalid}`
  if (linesOf(labels).some(line => !line.includes(':'))) found.labels = 'Each line must be name:value.'
  for (const name of NUMBERS) if (Number.isNaN(Number(others[name]))) found[name] = 'must be a number'
  return found
}

/** Returns the errors of the service by field: those within parameters belong to that field. */
function fieldsOf(error) {
  const found = {}
  for (const [path, message] of Object.entries(error?.fields ?? {})) {
    const name = path.split(/[.[]/)[0]
    const text = path === name ? message : `${path}: ${message}`
    found[name] = found[name] ? `${found[name]}; ${text}` : text
  }
  return found
}

/** Returns the body as JSON text. The parameters are taken as they were written. */
function bodyOf({ type, parameters, queue, labels, ...others }) {
  const members = { type: type.trim(), ...(queue.trim() ? { queue: queue.trim() } : {}) }
  for (const name of NUMBERS) if (others[name].trim()) members[name] = Number(others[name])
  const pairs = linesOf(labels).map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)])
    .map(pair => pair.map(text => text.trim()))
  if (pairs.length) members.labels = Object.fromEntries(pairs)
  return `${JSON.stringify(members).slice(0, -1)},"parameters":${parameters}}`
}

const linesOf = text => text.split('\n').filter(line => line.trim())

// `crypto.randomUUID` exists in secure contexts only.
const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), part => part.toString(36)).join('-')
