import { html, useId, useState } from '../lib/preact.js'
import { can } from '../lib/session.js'

/**
 * A button. With `scope`, it is disabled without that scope and says so. While the promise of `onClick` is pending, it
 * is disabled, so that a double click acts once. `kind`: "primary" or "danger".
 */
export function Button({ onClick, children, kind = '', scope, disabled, type = 'button', ...others }) {
  const [busy, setBusy] = useState(false)
  const lacks = scope && !can(scope)
  const act = async event => {
    setBusy(true)
    try {
      await onClick(event)
    } finally {
      setBusy(false)
    }
  }
  return html`<button type=${type} class=${`button ${kind}`} disabled=${disabled || lacks || busy}
    aria-busy=${busy ? 'true' : null} title=${lacks ? `This needs a key with the scope ${scope}.` : null}
    onClick=${onClick && act} ...${others}>${children}</button>`
}

function Labelled({ label, hint, error, children, id }) {
  return html`
    <div class=${`field ${error ? 'invalid' : ''}`}>
      <label for=${id}>${label}</label>
      ${children}
      ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
      ${error && html`<p class="error" id=${`${id}-error`}>${error}</p>`}
    </div>`
}

const described = (id, hint, error) => ({
  id,
  'aria-describedby': [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ') || null,
  'aria-invalid': error ? 'true' : null,
})

/** A line of text. `onInput` gets the value. `error` is shown below, as from `ApiError.fields`. */
export function Field({ label, value, onInput, hint, error, ...others }) {
  const id = useId()
  return html`<${Labelled} ...${{ label, hint, error, id }}>
    <input type="text" value=${value} onInput=${event => onInput(event.target.value)}
      ...${described(id, hint, error)} ...${others} /></${Labelled}>`
}

/** Several lines of text. */
export function TextAreaField({ label, value, onInput, hint, error, ...others }) {
  const id = useId()
  return html`<${Labelled} ...${{ label, hint, error, id }}>
    <textarea rows="6" value=${value} onInput=${event => onInput(event.target.value)}
      ...${described(id, hint, error)} ...${others}></textarea></${Labelled}>`
}

/** A choice. `options`: values, or [value, text] pairs. */
export function SelectField({ label, value, onInput, options, hint, error, ...others }) {
  const id = useId()
  const pairs = options.map(option => Array.isArray(option) ? option : [option, option])
  return html`<${Labelled} ...${{ label, hint, error, id }}>
    <select value=${value} onChange=${event => onInput(event.target.value)}
      ...${described(id, hint, error)} ...${others}>
      ${pairs.map(([each, text]) => html`<option key=${each} value=${each} selected=${each === value}>${text}</option>`)}
    </select></${Labelled}>`
}
