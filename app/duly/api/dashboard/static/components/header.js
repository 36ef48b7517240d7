import { html, useState } from '../lib/preact.js'
import { liveState } from '../lib/live.js'
import { useLocation } from '../lib/router.js'
import { can, signOut, useSession } from '../lib/session.js'
import { theme, toggleTheme } from '../lib/theme.js'
import { Status } from './values.js'

const VIEWS = [
  ['/ui', 'Overview'], ['/ui/jobs', 'Jobs'], ['/ui/batches', 'Batches'], ['/ui/queues', 'Queues'], ['/ui/types', 'Types'],
  ['/ui/schedules', 'Schedules', 'schedules'], ['/ui/endpoints', 'Endpoints', 'webhooks'], ['/ui/nodes', 'Nodes'],
  ['/ui/audit', 'Audit', 'admin'], ['/ui/keys', 'Keys', 'admin'],
]

/** The header of all views: their links, the state of the stream, the tenant, and the theme. */
export function Header() {
  const [shown, setShown] = useState(false)
  const { path } = useLocation()
  return html`
    <header class="top">
      <a class="brand" href="/ui" aria-label="Duly, overview">Duly</a>
      <button type="button" class="button small menu" aria-expanded=${shown ? 'true' : 'false'} aria-controls="views"
        onClick=${() => setShown(!shown)}>Menu</button>
      <nav id="views" class=${shown ? 'shown' : ''} aria-label="Views" onClick=${() => setShown(false)}>
        ${VIEWS.filter(([, , scope]) => !scope || can(scope)).map(([href, text]) => html`
          <a key=${href} href=${href} aria-current=${isAt(path, href) ? 'page' : null}>${text}</a>`)}
      </nav>
      <${Corner} />
    </header>`
}

const isAt = (path, href) => href === '/ui' ? path === href : path === href || path.startsWith(`${href}/`)
  || (href === '/ui/endpoints' && path.startsWith('/ui/deliveries/'))

function Corner() {
  const { tenant, open, keyName, version } = useSession()
  const live = liveState.use()
  const dark = theme.use() === 'dark'
  return html`
    <div class="corner">
      <span class="live" role="status">${live && live !== 'ended' && html`<${Status} value=${live} />`}</span>
      <span class="who" title=${`Duly ${version}`}>${tenant}${keyName && html` · <bdi>${keyName}</bdi>`}</span>
      <button type="button" class="button small" aria-pressed=${dark ? 'true' : 'false'} onClick=${toggleTheme}>
        Dark</button>
      ${!open && html`<button type="button" class="button small" onClick=${signOut}>Sign out</button>`}
    </div>`
}
