// What can be done with a schedule, on its page and in the list.
import { Confirm, notify } from '../components.js'
import { send } from '../lib/api.js'
import { html } from '../lib/preact.js'

export function ScheduleActions({ schedule, onChanged }) {
  const { name, paused } = schedule
  const path = `/schedules/${encodeURIComponent(name)}`
  const run = async () => {
    const { jobId } = await send('POST', `${path}/run`)
    notify(`Job ${jobId} submitted.`)
    onChanged()
  }
  const setPaused = async value => {
    await send('PATCH', path, { paused: value })
    notify(`Schedule “${name}” ${value ? 'paused' : 'resumed'}.`)
    onChanged()
  }
  return html`
    <${Confirm} action="Run now" label=${`Run now: ${name}`} kind="" scope="schedules"
      title=${`Run “${name}” now?`} onConfirm=${run}
      text="Its job is submitted now. Its due times stay as they are." />
    ${paused
      ? html`<${Confirm} key="resume" action="Resume" label=${`Resume ${name}`} kind="" scope="schedules"
          title=${`Resume “${name}”?`} text="It submits jobs again from its next due time on."
          onConfirm=${() => setPaused(false)} />`
      : html`<${Confirm} key="pause" action="Pause" label=${`Pause ${name}`} scope="schedules"
          title=${`Pause “${name}”?`} text="It submits no jobs until it is resumed."
          onConfirm=${() => setPaused(true)} />`}`
}
