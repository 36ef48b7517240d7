// Addresses of views, below /ui.
import { BASE, below } from './base.js'
import { store } from './store.js'

const here = () => ({ path: window.location.pathname.slice(BASE.length) || '/', search: window.location.search })
const current = store(here())

export const location = () => current.get()
export const useLocation = () => current.use()

/** Shows another view: `navigate('/ui/jobs?status=failed')`. */
export function navigate(to, { replace = false } = {}) {
  window.history[replace ? 'replaceState' : 'pushState'](null, '', below(to))
  current.set(here())
}

/** Replaces the query of the present view; empty values are left out, lists repeat their name. */
export function setQuery(params, { replace = false } = {}) {
  const query = new URLSearchParams()
  for (const [name, value] of params instanceof URLSearchParams ? params : Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== '') query.append(name, one)
    }
  }
  const text = query.toString()
  navigate(current.get().path + (text && `?${text}`), { replace })
}

function followed(event) {
  const link = event.target.closest?.('a[href]')
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return null
  if (link.target || link.hasAttribute('download') || link.origin !== window.location.origin) return null
  const path = link.pathname.slice(BASE.length)
  const isView = link.pathname.startsWith(BASE) && (path === '/ui' || path.startsWith('/ui/'))
  return isView && !link.hash ? path + link.search : null
}

/** Follows links to views without loading the page again. */
export function startRouter() {
  document.addEventListener('click', event => {
    const to = followed(event)
    if (to === null) return
    event.preventDefault()
    navigate(to)
  })
  window.addEventListener('popstate', () => current.set(here()))
}

/** Returns the route of a path and its parameters: `match('/ui/jobs/7', {'/ui/jobs/:jobId': …})`. */
export function match(path, routes) {
  const parts = path.replace(/\/$/, '').split('/')
  for (const [pattern, route] of Object.entries(routes)) {
    const names = pattern.split('/')
    if (names.length !== parts.length) continue
    if (!names.every((name, index) => name.startsWith(':') ? parts[index] : name === parts[index])) continue
    const found = names.flatMap((name, index) => name.startsWith(':') ? [[name.slice(1), decoded(parts[index])]] : [])
    return { route, params: Object.fromEntries(found) }
  }
  return null
}

function decoded(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
