// Forms in dialogs. The errors of the API are shown at their fields.
import { Button, Dialog, ErrorNotice } from '../components.js'
import { html, useEffect, useId, useRef, useState } from '../lib/preact.js'

/** A button that opens a dialog: `children(close)` renders it. */
export function Opener({ action, children, ...button }) {
  const [open, setOpen] = useState(false)
  return html`<${Button} ...${button} onClick=${() => setOpen(true)}>${action}</${Button}>
    ${open && children(() => setOpen(false))}`
}

/**
 * A form in a dialog. `children(at)` renders its fields; `at(path)` returns the error of that member of the request,
 * and of what is in it, unless a field before has asked for it. Errors that no field has asked for are listed above.
 * `onSubmit` may throw {path: message}, or what the API answered.
 */
export function FormDialog({ title, submit = 'Save', onSubmit, onClose, children }) {
  const [error, setError] = useState(null)
  const [busy, setBusy] = useState(false)
  const sending = useRef(false)
  const form = useRef(null)
  const errors = errorsOf(error)
  const asked = new Set()
  const at = path => {
    const found = errors.filter(each => isIn(each.path, path) && !asked.has(each))
    found.forEach(each => asked.add(each))
    return found.map(each => each.path === path ? each.message : `${inner(each.path, path)} ${each.message}`).join('; ')
  }
  const fields = children(at)
  const rest = errors.filter(each => !asked.has(each))
  useEffect(() => { form.current?.querySelector('[aria-invalid], [data-invalid]')?.focus() }, [error])
  const act = async event => {
    event.preventDefault()
    if (sending.current) return
    sending.current = true
    setBusy(true)
    setError(null)
    try {
      await onSubmit()
    } catch (found) {
      setError(found)
    }
    sending.current = false
    setBusy(false)
  }
  return html`
    <${Dialog} title=${title} onClose=${onClose}>
      <form class="form" ref=${form} novalidate onSubmit=${act}>
        <${ErrorNotice} error=${error && shownAbove(error, errors, rest)} />
        ${fields}
        <div class="actions">
          <button type="button" class="button" onClick=${onClose}>Close</button>
          <${Button} kind="primary" type="submit" disabled=${busy}>${submit}</${Button}>
        </div>
      </form>
    </${Dialog}>`
}

const errorsOf = error => {
  if (!error) return []
  if (error instanceof Error) return error.details?.errors ?? []
  return Object.entries(error).map(([path, message]) => ({ path, message }))
}

const inner = (path, above) => path.slice(above.length).replace(/^\./, '')

/** Returns the error as it is shown above the fields; `rest` are those of its errors that are at no field. */
function shownAbove(error, errors, rest) {
  if (errors.length && !rest.length) return { message: 'Some fields are invalid.', details: {} }
  const details = { ...error.details, errors: rest.length ? rest : null }
  return { message: error.message, requestId: error.requestId, details }
}

const isIn = (path, above) => path === above || path.startsWith(`${above}.`) || path.startsWith(`${above}[`)

/** A box to tick. */
export function CheckField({ label, checked, onInput, hint }) {
  const id = useId()
  return html`
    <div class="check">
      <input type="checkbox" id=${id} checked=${checked} aria-describedby=${hint ? `${id}-hint` : null}
        onChange=${event => onInput(event.target.checked)} />
      <label for=${id}>${label}</label>
      ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    </div>`
}

/** Boxes of which several may be ticked. `options`: [value, text] pairs; `value`: the ticked ones. */
export function ChoiceField({ legend, options, value, onInput, error }) {
  const id = useId()
  const toggle = (each, ticked) => onInput(options.map(([name]) => name)
    .filter(name => name === each ? ticked : value.includes(name)))
  return html`
    <fieldset class="choice" aria-describedby=${error ? `${id}-error` : null} data-invalid=${error ? 'true' : null}
      tabindex=${error ? '-1' : null}>
      <legend>${legend}</legend>
      ${options.map(([each, text]) => html`<${CheckField} key=${each} label=${text} checked=${value.includes(each)}
        onInput=${ticked => toggle(each, ticked)} />`)}
      ${error && html`<p class="error" id=${`${id}-error`}>${error}</p>`}
    </fieldset>`
}

/** Returns a number of a field, or null for an empty one. Other text stays, so that the API refuses it. */
export function numberOf(text) {
  const trimmed = String(text).trim()
  if (trimmed === '') return null
  return Number.isNaN(Number(trimmed)) ? trimmed : Number(trimmed)
}

/** Returns the words of a field that are separated by commas or spaces. */
export const wordsOf = text => text.split(/[\s,]+/).filter(Boolean)
