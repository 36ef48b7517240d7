// Requests to the public API. Paths are those below /api/v1, such as `/jobs`.
import { below } from './base.js'
import { noteCells } from './cells.js'

/** Error of a request. `status` is 0 if there was no response. `details` is `error.details` of the response. */
export class ApiError extends Error {
  constructor({ status, code, message, details, requestId }) {
    super(message)
    Object.assign(this, { name: 'ApiError', status, code, details: details ?? {}, requestId })
  }

  /** Validation errors by path: {"parameters.day": "must be a date"}. */
  get fields() {
    return Object.fromEntries((this.details.errors ?? []).map(({ path, message }) => [path, message]))
  }
}

let whenSignedOut = () => {}
/** Sets what happens when the service answers that the session has ended. */
export const onSignedOut = action => { whenSignedOut = action }

/** Returns the address of a path of the API with a query. Empty values are left out, lists repeat their name. */
export function address(path, params = {}) {
  const query = new URLSearchParams()
  for (const [name, value] of params instanceof URLSearchParams ? params : Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== '') query.append(name, one)
    }
  }
  const text = query.toString()
  const whole = path.startsWith('/api/') || path.startsWith('/ui/') ? path : `/api/v1${path}`
  return below(whole) + (text && `?${text}`)
}

async function request(url, options) {
  let response
  try {
    response = await fetch(url, { credentials: 'same-origin', cache: 'no-store', ...options })
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw new ApiError({ status: 0, code: 'UNREACHABLE', message: 'The service cannot be reached. Retrying may help.' })
  }
  if (response.ok) return response
  throw await failure(response, url)
}

async function failure(response, url) {
  const requestId = response.headers.get('x-request-id')
  const { error } = await response.json().catch(() => ({}))
  if (response.status === 401 && !url.endsWith('/ui/session')) whenSignedOut()
  const message = error?.message ?? `The service answered ${response.status} ${response.statusText}.`
  return new ApiError({ status: response.status, code: error?.code, message, details: error?.details, requestId })
}

/** Reads JSON. Numbers beyond 2^53 lose digits: use `getText` for parameters and results. */
export async function get(path, params, { signal } = {}) {
  const response = await request(address(path, params), { signal })
  noteCells(path, response.headers.get('duly-cells-away'))
  return response.json()
}

/** Reads the exact text of a response. */
export const getText = async (path, params, { signal } = {}) =>
  (await request(address(path, params), { signal })).text()

/** Sends a request that changes something. `body` is a value, or JSON text, which is sent as it is. */
export async function send(method, path, body, headers = {}) {
  const options = { method, headers: { ...headers } }
  if (body !== undefined && body !== null) {
    options.body = typeof body === 'string' ? body : JSON.stringify(body)
    options.headers['Content-Type'] ??= 'application/json'
  }
  const response = await request(address(path), options)
  const text = await response.text()
  return text ? JSON.parse(text) : null
}
