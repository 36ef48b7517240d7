import { html } from '../lib/preact.js'
import { can } from '../lib/session.js'
import { Notice } from './notices.js'

/** Shows its children if the key holds the scope; else says which one is missing. */
export function Needs({ scope, children, what = 'This' }) {
  if (can(scope)) return children
  return html`<${Notice}>${what} needs a key with the scope <code>${scope}</code>.</${Notice}>`
}
