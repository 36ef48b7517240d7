// Limits on starting jobs, of a queue or of a job type.
import { ErrorNotice, Field, Loading, notify } from '../components.js'
import { get, send } from '../lib/api.js'
import { html, useEffect, useState } from '../lib/preact.js'
import { FormDialog, Opener, numberOf } from './forms.js'

/** A button that shows and changes limits. `path` is that of the limits, `of` says what they limit. */
export const LimitsButton = ({ path, of, onChanged }) => html`
  <${Opener} action="Limits" scope="admin" kind="small" aria-label=${`Limits of ${of}`}>
    ${close => html`<${LimitsDialog} ...${{ path, of, onChanged }} onClose=${close} />`}
  </${Opener}>`

function LimitsDialog({ path, of, onChanged, onClose }) {
  const [limits, setLimits] = useState(null)
  const [failure, setFailure] = useState(null)
  useEffect(() => { get(path).then(found => setLimits(inFields(found)), setFailure) }, [path])
  const set = name => value => setLimits({ ...limits, [name]: value })
  const save = async () => {
    await send('PUT', path, fromFields(limits))
    notify(`Limits of ${of} set.`)
    onChanged?.()
    onClose()
  }
  return html`
    <${FormDialog} title=${`Limits of ${of}`} submit="Set limits" onSubmit=${save} onClose=${onClose}>
      ${at => limits === null ? (failure ? html`<${ErrorNotice} error=${failure} />` : html`<${Loading} />`) : html`
        <p class="hint">They apply to the sum over all nodes. An empty field means no limit.</p>
        <${Field} label="Jobs running at once" inputmode="numeric" value=${limits.concurrency}
          onInput=${set('concurrency')} error=${at('concurrency')} />
        <${Field} label="Starts per period" inputmode="numeric" value=${limits.count} onInput=${set('count')}
          hint="Unused starts are saved for a burst." error=${at('rate.count')} />
        <${Field} label="Period in seconds" inputmode="decimal" value=${limits.seconds} onInput=${set('seconds')}
          error=${at('rate')} />`}
    </${FormDialog}>`
}

const inFields = ({ concurrency, rate }) =>
  ({ concurrency: concurrency ?? '', count: rate?.count ?? '', seconds: rate?.seconds ?? '' })

function fromFields({ concurrency, count, seconds }) {
  const rate = numberOf(count) === null && numberOf(seconds) === null
    ? null : { count: numberOf(count), seconds: numberOf(seconds) }
  return { concurrency: numberOf(concurrency), rate }
}

/** Returns limits in words. */
export function limitsText({ concurrency, rate }) {
  const texts = [
    concurrency && `${concurrency} at once`,
    rate && `${rate.count} per ${rate.seconds === 1 ? 'second' : `${rate.seconds} s`}`,
  ].filter(Boolean)
  return texts.join(', ') || 'none'
}
