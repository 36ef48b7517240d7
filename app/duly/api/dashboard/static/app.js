// The dashboard: its header, the sign-in, and the view of the present address.
import { html, render, useEffect, useErrorBoundary, useRef, useState } from './lib/preact.js'
import { ErrorNotice, Loading, MissingCells, Page, Toasts } from './components.js'
import { Header } from './components/header.js'
import { SignIn } from './components/sign-in.js'
import { forgetCells } from './lib/cells.js'
import { match, startRouter, useLocation } from './lib/router.js'
import { loadSession, useSession } from './lib/session.js'
import { startTheme } from './lib/theme.js'

const ROUTES = {
  '/ui': () => import('./pages/overview.js'),
  '/ui/jobs': () => import('./pages/jobs.js'),
  '/ui/jobs/:jobId': () => import('./pages/job.js'),
  '/ui/batches': () => import('./pages/batches.js'),
  '/ui/batches/:batchId': () => import('./pages/batch.js'),
  '/ui/queues': () => import('./pages/queues.js'),
  '/ui/types': () => import('./pages/types.js'),
  '/ui/schedules': () => import('./pages/schedules.js'),
  '/ui/schedules/:name': () => import('./pages/schedule.js'),
  '/ui/endpoints': () => import('./pages/endpoints.js'),
  '/ui/endpoints/:webhookId': () => import('./pages/endpoint.js'),
  '/ui/deliveries/:deliveryId': () => import('./pages/delivery.js'),
  '/ui/nodes': () => import('./pages/nodes.js'),
  '/ui/audit': () => import('./pages/audit.js'),
  '/ui/keys': () => import('./pages/keys.js'),
}
// A session that is read in its second half goes on.
const RENEWAL = 3_600_000
const RETRY = 5000

function App() {
  const current = useSession()
  const [failure, setFailure] = useState(null)
  const load = () => loadSession().then(() => setFailure(null), setFailure)
  useEffect(() => {
    if (!failure) return undefined
    const again = setTimeout(load, RETRY)
    return () => clearTimeout(again)
  }, [failure])
  useEffect(() => {
    load()
    const renewal = setInterval(() => loadSession().catch(() => {}), RENEWAL)
    return () => clearInterval(renewal)
  }, [])
  if (failure) return html`<main class="alone"><h1>Duly</h1><${ErrorNotice} error=${failure} onRetry=${load} /></main>`
  if (!current) return html`<main class="alone"><${Loading} /></main>`
  if (!current.signedIn) return html`<${SignIn} ended=${current.ended} />`
  return html`
    <a class="skip" href="#main">Skip to content</a>
    <${Header} />
    <main id="main" tabindex="-1"><${MissingCells} /><${View} /></main>
    <${Toasts} />`
}

function View() {
  const { path, search } = useLocation()
  useEffect(() => forgetCells, [path])
  const found = match(path, ROUTES)
  if (!found) return html`<${Page} title="Not found"><p>There is no view at this address.
    <a href="/ui">Go to the overview.</a></p></${Page}>`
  return html`<${Loaded} key=${path} search=${search} ...${found} />`
}

/** Loads the module of a view, then shows it; moves the focus to its heading after a navigation. */
function Loaded({ route, params, search }) {
  const [Shown, setShown] = useState(null)
  const [error, setError] = useState(null)
  const [broken, reset] = useErrorBoundary()
  const load = () => route().then(loaded => setShown(() => loaded.default), setError)
  useEffect(() => { load() }, [])
  useFocusAfterNavigation(Shown)
  if (broken || error) return html`<${Page} title="This view failed">
    <${ErrorNotice} error=${broken ?? error} onRetry=${() => { setError(null); reset(); load() }} /></${Page}>`
  if (!Shown) return html`<${Loading} />`
  return html`<${Shown} params=${params} query=${new URLSearchParams(search)} />`
}

let anyShown = false

function useFocusAfterNavigation(Shown) {
  const done = useRef(false)
  useEffect(() => {
    if (!Shown || done.current) return
    done.current = true
    if (anyShown) document.querySelector('main h1')?.focus({ preventScroll: true })
    if (anyShown) window.scrollTo(0, 0)
    anyShown = true
  }, [Shown])
}

startTheme()
startRouter()
render(html`<${App} />`, document.getElementById('app'))
