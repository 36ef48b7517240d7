import { html, useEffect } from '../lib/preact.js'

/** A view: its title is the heading, and that of the window. `actions` are buttons beside it. */
export function Page({ title, actions, children, lead }) {
  useEffect(() => { document.title = `${title} · Duly` }, [title])
  return html`
    <div class="page">
      <header class="page-head">
        <h1 tabindex="-1">${title}</h1>
        ${actions && html`<div class="actions">${actions}</div>`}
      </header>
      ${lead && html`<p class="lead">${lead}</p>`}
      ${children}
    </div>`
}

/** A part of a view, with its own heading. */
export function Section({ title, actions, children }) {
  return html`
    <section class="section">
      <header class="section-head">
        <h2>${title}</h2>
        ${actions && html`<div class="actions">${actions}</div>`}
      </header>
      ${children}
    </section>`
}

/** Names and values: `<KeyValue items=${[['Queue', 'default'], …]} />`. Pairs with the value undefined are left out. */
export function KeyValue({ items }) {
  return html`
    <dl class="key-value">
      ${items.filter(([, value]) => value !== undefined).map(([name, value]) => html`
        <div key=${name}><dt>${name}</dt><dd>${value ?? '–'}</dd></div>`)}
    </dl>`
}

/** A row of figures: `<Stats><Stat label="Running" value="3" /></Stats>`. */
export const Stats = ({ children }) => html`<dl class="stats">${children}</dl>`

/** A figure. `tone`: "bad" or "warn" for one that needs attention. */
export function Stat({ label, value, hint, tone, href }) {
  const shown = href ? html`<a href=${href}>${value}</a>` : value
  return html`<div class=${`stat ${tone ?? ''}`}><dt>${label}</dt><dd>${shown}</dd>
    ${hint && html`<dd class="hint">${hint}</dd>`}</div>`
}
