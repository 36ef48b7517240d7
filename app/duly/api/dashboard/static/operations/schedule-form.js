// The form of a schedule. A submission is kept as JSON text, so that its numbers stay exact.
import { Field, SelectField, TextAreaField, notify } from '../components.js'
import { send } from '../lib/api.js'
import { jsonError, memberTexts, pretty } from '../lib/json.js'
import { html, useState } from '../lib/preact.js'
import { can } from '../lib/session.js'
import { CheckField, FormDialog } from './forms.js'

const zones = () => Intl.supportedValuesOf?.('timeZone') ?? []

/** Creates a schedule, or changes `schedule`, whose exact text is `text`. `onSaved` gets its name. */
export function ScheduleForm({ schedule, text, onSaved, onClose }) {
  const [form, setForm] = useState(() => schedule ? inFields(schedule, text) : NEW)
  const [before] = useState(form)
  const readsJob = !schedule || can('jobs:payload')
  const set = name => value => setForm(now => ({ ...now, [name]: value }))
  const save = async () => {
    refuseInvalid(form)
    const saved = schedule
      ? await send('PATCH', `/schedules/${encodeURIComponent(schedule.name)}`, changed(form, before))
      : await send('POST', '/schedules', whole(form))
    notify(`Schedule “${saved.name}” ${schedule ? 'changed' : 'created'}.`)
    onSaved(saved.name)
    onClose()
  }
  return html`
    <${FormDialog} title=${schedule ? `Change “${schedule.name}”` : 'Create a schedule'}
      submit=${schedule ? 'Save' : 'Create'} onSubmit=${save} onClose=${onClose}>
      ${at => html`
        ${!schedule && html`<${Field} label="Name" value=${form.name} onInput=${set('name')} error=${at('name')} />`}
        <${Field} label="Cron expression" value=${form.cron} onInput=${set('cron')} error=${at('cron')}
          spellcheck=${false} hint="Minute, hour, day of month, month, day of week; of six, the second first." />
        <${Field} label="Time zone" value=${form.timezone} onInput=${set('timezone')} error=${at('timezone')}
          list="time-zones" spellcheck=${false} />
        <datalist id="time-zones">${zones().map(zone => html`<option key=${zone} value=${zone} />`)}</datalist>
        <${SelectField} label="If the last job has not ended" value=${form.overlap} onInput=${set('overlap')}
          options=${[['allow', 'submit the next one'], ['skip', 'skip the due time']]} error=${at('overlap')} />
        <${SelectField} label="Due times that were missed" value=${form.catchUp} onInput=${set('catchUp')}
          options=${[['none', 'run none'], ['last', 'run the last one'], ['all', 'run all']]} error=${at('catchUp')} />
        <${CheckField} label="Paused" checked=${form.paused} onInput=${set('paused')} />
        ${readsJob ? jobFields({ form, set, at, isNew: !schedule })
          : html`<p class="hint">A change of the job needs a key with the scope <code>jobs:payload</code>.</p>`}`}
    </${FormDialog}>`
}

/** Returns the fields of the job. Parameters that a key may not see would be lost with a change. */
const jobFields = ({ form, set, at, isNew }) => html`
  <${Field} label="Job type" value=${form.type} onInput=${set('type')} error=${at('submission.type')} />
  <${TextAreaField} label="Parameters (JSON)" value=${form.parameters} onInput=${set('parameters')}
    error=${at('submission.parameters')} spellcheck=${false} />
  <${TextAreaField} label="Other options of the job (JSON object)" value=${form.options} onInput=${set('options')}
    error=${at('submission')} rows="4" spellcheck=${false} hint=${isNew ? 'Such as {"queue": "reports", "priority": 5}.'
      : 'A change of the job replaces all of it. Enter its callbackSecret again, which is never shown.'} />`

const NEW = {
  name: '', cron: '', timezone: 'UTC', overlap: 'allow', catchUp: 'none', paused: false, type: '', parameters: '',
  options: '',
}

function inFields(schedule, text) {
  const { type, parameters, ...options } = memberTexts(memberTexts(text).submission)
  return {
    ...schedule,
    type: JSON.parse(type),
    parameters: parameters === undefined || parameters === 'null' ? '' : pretty(parameters),
    options: Object.keys(options).length ? pretty(objectText(options)) : '',
  }
}

const objectText = members =>
  `{${Object.entries(members).map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(', ')}}`

/** Throws the errors of fields that must be JSON. */
function refuseInvalid({ parameters, options }) {
  const errors = {}
  const invalid = text => text.trim() ? jsonError(text) : null
  if (invalid(parameters)) errors['submission.parameters'] = `is not JSON: ${invalid(parameters)}`
  if (invalid(options)) errors.submission = `is not JSON: ${invalid(options)}`
  else if (options.trim() && !options.trim().startsWith('{')) errors.submission = 'must be a JSON object'
  if (Object.keys(errors).length) throw errors
}

/** Returns the text of the submission; a member that the fields have precedes one in the options. */
function submissionText({ type, parameters, options }) {
  const members = { ...(options.trim() ? memberTexts(options) : {}), type: JSON.stringify(type) }
  if (parameters.trim()) members.parameters = parameters
  return objectText(members)
}

const PLAIN = ['cron', 'timezone', 'overlap', 'catchUp', 'paused']

const whole = form => objectText({
  name: JSON.stringify(form.name), ...texts(form, PLAIN), submission: submissionText(form),
})

/** Returns the text of the members that differ. A submission is replaced as a whole, so it is sent only if changed. */
function changed(form, before) {
  const members = texts(form, PLAIN.filter(name => form[name] !== before[name]))
  const differs = ['type', 'parameters', 'options'].some(name => form[name] !== before[name])
  return objectText(differs ? { ...members, submission: submissionText(form) } : members)
}

const texts = (form, names) => Object.fromEntries(names.map(name => [name, JSON.stringify(form[name])]))
