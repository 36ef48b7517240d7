import { useMissingCells } from '../lib/cells.js'
import { html } from '../lib/preact.js'
import { store } from '../lib/store.js'

const SHOWN_FOR = 8000
const toasts = store([])
let made = 0

/** Shows a short message for some seconds. `tone`: "good" or "bad". */
export function notify(text, tone = 'good') {
  const id = made += 1
  toasts.set([...toasts.get(), { id, text, tone }])
  setTimeout(() => drop(id), SHOWN_FOR)
}

const drop = id => toasts.set(toasts.get().filter(toast => toast.id !== id))

export function Toasts() {
  return html`
    <div class="toasts" role="status" aria-live="polite">
      ${toasts.use().map(({ id, text, tone }) => html`
        <div key=${id} class=${`toast ${tone}`}>${text}
          <button type="button" class="close" aria-label="Close message" onClick=${() => drop(id)}>✕</button></div>`)}
    </div>`
}

/** A message within a view. `tone`: "bad", "warn" or "good". */
export const Notice = ({ tone = 'warn', children }) => html`<div class=${`notice ${tone}`}>${children}</div>`

/** An error of a request with its reason; nothing without one. `onRetry` adds a button. */
export function ErrorNotice({ error, onRetry }) {
  if (!error) return null
  const { reason, errors, remedy } = error.details ?? {}
  return html`
    <div class="notice bad" role="alert">
      <p><strong>${error.message}</strong></p>
      ${reason && reason !== error.message && html`<p>${reason}</p>`}
      ${remedy && html`<p>${remedy}</p>`}
      ${errors && html`<ul>${errors.map(({ path, message }) => html`<li><code>${path}</code>: ${message}</li>`)}</ul>`}
      ${error.requestId && html`<p class="hint">Request id: <code>${error.requestId}</code></p>`}
      ${onRetry && html`<button type="button" class="button" onClick=${onRetry}>Try again</button>`}
    </div>`
}

/** Says that the view lacks what some cells have; nothing while all are there. */
export function MissingCells() {
  const cells = useMissingCells()
  if (!cells.length) return null
  const subject = cells.length === 1 ? `Cell ${cells[0]} is` : `Cells ${cells.join(', ')} are`
  return html`<div class="notice warn" role="status">${subject} away: what is there is missing from this page.</div>`
}

/** Says that something is being read. */
export const Loading = ({ what = 'Loading…' }) => html`<p class="loading" role="status">${what}</p>`
