import { Needs, Page } from '../components.js'
import { html } from '../lib/preact.js'
import { can } from '../lib/session.js'

/** A whole view that needs a scope; without it, a page under this title that says so. */
export const Guarded = ({ scope, title, children }) => can(scope) ? children
  : html`<${Page} title=${title}><${Needs} scope=${scope} what="This view" /></${Page}>`
