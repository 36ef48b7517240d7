import { html, useMemo } from '../lib/preact.js'
import { pretty } from '../lib/json.js'
import { notify } from './notices.js'

const MOST_SHOWN = 100_000

/** Exact JSON text, laid out, with a button that copies it. `text` null or undefined: `missing` is shown. */
export function JsonText({ text, label = 'JSON', missing = 'None.' }) {
  const shown = useMemo(() => text === null || text === undefined ? null : pretty(text), [text])
  if (shown === null) return html`<p class="empty">${missing}</p>`
  const copy = () => navigator.clipboard.writeText(text)
    .then(() => notify(`${label} copied.`), () => notify('The browser does not allow copying here.', 'bad'))
  return html`
    <div class="json">
      <button type="button" class="button small" aria-label=${`Copy ${label}`} onClick=${copy}>Copy</button>
      <pre tabindex="0" role="region" aria-label=${label}>${shown.slice(0, MOST_SHOWN)}</pre>
      ${shown.length > MOST_SHOWN && html`<p class="hint">Only the first ${MOST_SHOWN} characters are shown. Copy gives
        all.</p>`}
    </div>`
}
