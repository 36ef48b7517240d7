// Limits on submitting, which are those of the tenant.
import { Confirm, Field, KeyValue, Section, TextAreaField, notify } from '../components.js'
import { send } from '../lib/api.js'
import { count } from '../lib/format.js'
import { jsonError } from '../lib/json.js'
import { html, useState } from '../lib/preact.js'
import { FormDialog, Opener, numberOf } from './forms.js'
import { Shown, useResource } from './lists.js'

export function SubmissionLimits() {
  const limits = useResource('/limits', {}, 30)
  const reset = async () => {
    await send('DELETE', '/limits')
    notify('Limits of the settings restored.')
    limits.refresh()
  }
  const actions = html`
    <${Opener} action="Change" kind="small" scope="admin" disabled=${!limits.data}
      aria-label="Change limits on submitting">
      ${close => html`<${Form} limits=${limits.data} onSaved=${limits.refresh} onClose=${close} />`}</${Opener}>
    <${Confirm} action="Reset" label="Reset limits on submitting" kind="small" scope="admin" onConfirm=${reset}
      title="Restore the limits of the settings?" text="Limits that were set here no longer apply." />`
  return html`
    <${Section} title="Limits on submitting" actions=${actions}>
      <${Shown} of=${limits}>${found => html`<${KeyValue} items=${itemsOf(found)} />`}</${Shown}>
    </${Section}>`
}

const itemsOf = ({ rate, backlog, backlogs }) => [
  ['Jobs per period', rate ? `${count(rate.count)} in ${rate.seconds} s` : 'no limit'],
  ['Jobs that may wait in a queue', backlog === null ? 'no limit' : count(backlog)],
  ...Object.entries(backlogs).map(([queue, most]) => [`Jobs that may wait in “${queue}”`, count(most)]),
]

function Form({ limits: { rate, backlog, backlogs }, onSaved, onClose }) {
  const [form, setForm] = useState({
    count: rate?.count ?? '', seconds: rate?.seconds ?? '', backlog: backlog ?? '',
    backlogs: Object.keys(backlogs).length ? JSON.stringify(backlogs) : '',
  })
  const set = name => value => setForm(now => ({ ...now, [name]: value }))
  const save = async () => {
    if (form.backlogs.trim() && jsonError(form.backlogs)) throw { backlogs: `is not JSON: ${jsonError(form.backlogs)}` }
    await send('PUT', '/limits', fromFields(form))
    notify('Limits on submitting set.')
    onSaved()
    onClose()
  }
  return html`
    <${FormDialog} title="Limits on submitting" submit="Set limits" onSubmit=${save} onClose=${onClose}>
      ${at => html`
        <p class="hint">They apply to the sum over all nodes. An empty field means no limit.</p>
        <${Field} label="Jobs submitted per period" inputmode="numeric" value=${form.count} onInput=${set('count')}
          error=${at('rate.count')} />
        <${Field} label="Period in seconds" inputmode="decimal" value=${form.seconds} onInput=${set('seconds')}
          error=${at('rate')} />
        <${Field} label="Jobs that may wait in each queue" inputmode="numeric" value=${form.backlog}
          onInput=${set('backlog')} error=${at('backlog')} />
        <${TextAreaField} label="Jobs that may wait, by queue (JSON object)" rows="2" value=${form.backlogs}
          onInput=${set('backlogs')} error=${at('backlogs')} hint='Such as {"mail": 1000}.' spellcheck=${false} />`}
    </${FormDialog}>`
}

const fromFields = ({ count: most, seconds, backlog, backlogs }) => ({
  rate: numberOf(most) === null && numberOf(seconds) === null
    ? null : { count: numberOf(most), seconds: numberOf(seconds) },
  backlog: numberOf(backlog),
  backlogs: backlogs.trim() ? JSON.parse(backlogs) : {},
})
