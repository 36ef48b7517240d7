import { html, useEffect, useId, useRef, useState } from '../lib/preact.js'
import { Button } from './form.js'
import { ErrorNotice } from './notices.js'

/**
 * A modal dialog, shown as long as it is rendered. Escape and a click beside it call `onClose`, except for one that is
 * `fixed`: what it shows must not be lost by accident.
 */
export function Dialog({ title, onClose, fixed = false, children }) {
  const ref = useRef(null)
  const pressed = useRef(null)
  const id = useId()
  useEffect(() => {
    const before = document.activeElement
    ref.current.showModal()
    return () => before?.focus?.()
  }, [])
  return html`
    <dialog ref=${ref} aria-labelledby=${id} onCancel=${event => { event.preventDefault(); if (!fixed) onClose() }}
      onKeyDown=${event => { if (fixed && event.key === 'Escape') event.preventDefault() }}
      onMouseDown=${event => { pressed.current = event.target }}
      onClick=${event => !fixed && isBeside(event, pressed.current) && onClose()}>
      <div class="dialog-content">
        <h2 id=${id}>${title}</h2>
        ${children}
      </div>
    </dialog>`
}

/** Returns whether a click is beside the dialog. One that began in a field, to select its text, is not. */
const isBeside = ({ target, currentTarget }, pressed) => target === currentTarget && pressed === currentTarget

/**
 * A button that asks before it acts. `action`: its text, `label`: its name where several have the same text, `title`
 * and `text`: those of the question (text may be a function, called when the dialog opens, that returns or resolves to
 * the text). `onConfirm` may be async: its error is shown in the dialog, which stays open.
 */
export function Confirm({ title, text, action, label, onConfirm, kind = 'danger', confirm = action, ...button }) {
  const [asked, setAsked] = useState(false)
  return html`
    <${Button} ...${button} kind=${kind} aria-label=${label} onClick=${() => setAsked(true)}>${action}</${Button}>
    ${asked && html`<${Question} ...${{ title, text, confirm, kind, onConfirm, onClose: () => setAsked(false) }} />`}`
}

function Question({ title, text, confirm, kind, onConfirm, onClose }) {
  const [shown, setShown] = useState(typeof text === 'function' ? null : text)
  const [error, setError] = useState(null)
  const fails = found => setError(found)
  useEffect(() => {
    if (typeof text === 'function') Promise.resolve().then(text).then(setShown, fails)
  }, [])
  const act = async () => {
    setError(null)
    try {
      await onConfirm()
      onClose()
    } catch (found) {
      fails(found)
    }
  }
  return html`
    <${Dialog} title=${title} onClose=${onClose}>
      <div>${shown ?? (error ? null : 'Counting…')}</div>
      <${ErrorNotice} error=${error} />
      <div class="actions">
        <button type="button" class="button" onClick=${onClose}>Keep as it is</button>
        <${Button} kind=${kind} disabled=${shown === null} onClick=${act}>${confirm}</${Button}>
      </div>
    </${Dialog}>`
}
