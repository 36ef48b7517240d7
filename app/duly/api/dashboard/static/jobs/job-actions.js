import { Button, Confirm, Dialog, ErrorNotice, Field, notify, SelectField, TextAreaField } from '../components.js'
import { send } from '../lib/api.js'
import { jsonError } from '../lib/json.js'
import { html, useState } from '../lib/preact.js'
import { hasEnded } from './job-changes.js'

const STEP_NAME = /^[a-z0-9._-]{1,100}$/

/** Buttons that cancel, retry or signal a job, as its state allows. `steps`: its recorded steps, timers and signals. */
export function JobActions({ job, steps, refresh }) {
  const path = `/jobs/${encodeURIComponent(job.jobId)}`
  const retryable = ['failed', 'cancelled'].includes(job.status) || job.waitingFor === 'held'
  const cancel = async () => {
    const { status } = await send('POST', `${path}/cancel`)
    notify(status === 'cancelled' ? 'Job cancelled.' : 'The handler was told to stop.')
    refresh()
  }
  return html`
    ${!hasEnded(job.status) && html`
      <${SignalButton} ...${{ path, steps, refresh }} />
      <${Confirm} scope="jobs:write" title="Cancel this job?" action="Cancel job" onConfirm=${cancel}
        text=${job.status === 'running' ? 'Its handler is told to stop. Its child jobs are cancelled too.'
          : 'It ends at once. Its child jobs are cancelled too.'} />`}
    ${retryable && html`<${RetryButton} ...${{ path, steps, refresh }} />`}`
}

function Opened({ label, scope = 'jobs:write', kind, children }) {
  const [open, setOpen] = useState(false)
  return html`
    <${Button} scope=${scope} kind=${kind} onClick=${() => setOpen(true)}>${label}</${Button}>
    ${open && children(() => setOpen(false))}`
}

const RetryButton = others => html`
  <${Opened} label="Retry job" kind="primary">
    ${onClose => html`<${RetryDialog} ...${others} onClose=${onClose} />`}</${Opened}>`

function RetryDialog({ path, steps, refresh, onClose }) {
  const [fromStep, setFromStep] = useState('')
  const [error, setError] = useState(null)
  const names = steps.filter(({ kind, status }) => kind === 'step' && status === 'completed').map(step => step.name)
  const retry = async () => {
    setError(null)
    try {
      await send('POST', `${path}/retry`, fromStep ? { fromStep } : undefined)
      notify('Job retried.')
      onClose()
      refresh()
    } catch (found) {
      setError(found)
    }
  }
  return html`
    <${Dialog} title="Retry this job?" onClose=${onClose}>
      <p>It returns to its queue with all its attempts. Recorded steps are not run again.</p>
      ${names.length > 0 && html`
        <${SelectField} label="Forget steps from" value=${fromStep} onInput=${setFromStep}
          options=${[['', 'none: keep all steps'], ...names]} hint="This step and all later ones run again." />`}
      <${ErrorNotice} error=${error} />
      <div class="actions">
        <button type="button" class="button" onClick=${onClose}>Keep as it is</button>
        <${Button} kind="primary" onClick=${retry}>Retry</${Button}>
      </div>
    </${Dialog}>`
}

const SignalButton = others => html`
  <${Opened} label="Send signal">${onClose => html`<${SignalDialog} ...${others} onClose=${onClose} />`}</${Opened}>`

function SignalDialog({ path, steps, refresh, onClose }) {
  const awaited = steps.filter(({ kind, status }) => kind === 'signal' && status === 'waiting').map(step => step.name)
  const [name, setName] = useState(awaited[0] ?? '')
  const [body, setBody] = useState('true')
  const [error, setError] = useState(null)
  const invalid = jsonError(body)
  const wrong = name && !STEP_NAME.test(name) ? 'must be of a-z, 0-9, ".", "_" and "-", up to 100 characters' : null
  const deliver = async () => {
    setError(null)
    try {
      await send('POST', `${path}/signals/${encodeURIComponent(name)}`, body)
      notify(`Signal “${name}” sent.`)
      onClose()
      refresh()
    } catch (found) {
      setError(found)
    }
  }
  return html`
    <${Dialog} title="Send a signal" onClose=${onClose}>
      <form class="form" onSubmit=${event => event.preventDefault()}>
        <${Field} label="Name" value=${name} onInput=${setName} list="awaited-signals" autocomplete="off" error=${wrong}
          hint=${awaited.length ? `The job waits for ${awaited.join(', ')}.` : 'Kept until the job waits for it.'} />
        <datalist id="awaited-signals">${awaited.map(each => html`<option key=${each} value=${each} />`)}</datalist>
        <${TextAreaField} label="Body (JSON)" value=${body} onInput=${setBody} spellcheck="false"
          error=${invalid && `Not JSON: ${invalid}`}
          hint="The first signal of a name counts; it cannot be changed later." />
        <${ErrorNotice} error=${error} />
        <div class="actions">
          <button type="button" class="button" onClick=${onClose}>Close</button>
          <${Button} kind="primary" type="submit" disabled=${!name || Boolean(invalid || wrong)} onClick=${deliver}>
            Send</${Button}>
        </div>
      </form>
    </${Dialog}>`
}
