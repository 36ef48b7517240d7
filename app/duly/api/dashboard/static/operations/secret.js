// A secret that the API shows once.
import { Button, Dialog, notify } from '../components.js'
import { html, useId } from '../lib/preact.js'

/** A dialog with a secret, which is kept nowhere. `children`: what to do with it. */
export function SecretDialog({ title, label, value, onClose, children }) {
  const id = useId()
  const copy = () => navigator.clipboard.writeText(value)
    .then(() => notify(`${label} copied.`), () => notify('The browser does not allow copying here.', 'bad'))
  return html`
    <${Dialog} title=${title} onClose=${onClose} fixed>
      <p>${children} It is shown only this once.</p>
      <div class="field">
        <label for=${id}>${label}</label>
        <input id=${id} type="text" class="secret" readonly autocomplete="off" spellcheck=${false} value=${value}
          onFocus=${event => event.target.select()} />
      </div>
      <div class="actions">
        <${Button} onClick=${copy}>Copy</${Button}>
        <${Button} kind="primary" onClick=${onClose}>I have stored it</${Button}>
      </div>
    </${Dialog}>`
}
