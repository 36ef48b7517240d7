import { html, useEffect, useState } from '../lib/preact.js'
import { absolute, between, relative } from '../lib/format.js'

const TONES = {
  completed: 'good', succeeded: 'good', delivered: 'good', active: 'good', ready: 'good', enabled: 'good', closed: 'good',
  running: 'busy', sending: 'busy', live: 'good',
  pending: 'calm', waiting: 'calm', scheduled: 'calm', disabled: 'calm', cancelled: 'calm', revoked: 'calm',
  failed: 'bad', open: 'bad', lost: 'bad', expired: 'bad',
  paused: 'warn', retrying: 'warn', held: 'warn', late: 'warn', draining: 'warn', compensating: 'warn', 'half-open': 'warn',
  half_open: 'warn', reconnecting: 'warn',
}
const MARKS = { good: '✓', bad: '✕', warn: '!', busy: '▸', calm: '·' }

/** A state in words with a mark and a colour. `tone` overrides that of the word. */
export function Status({ value, tone = TONES[value] ?? 'calm' }) {
  return html`<span class=${`status ${tone}`}><span class="mark" aria-hidden="true">${MARKS[tone]}</span>${value}</span>`
}

/** Renders again each second, or each minute for old times. */
function useNow(at) {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    if (!at) return undefined
    const recent = Math.abs(Date.now() - new Date(at)) < 120_000
    const timer = setInterval(() => document.hidden || setNow(Date.now()), recent ? 1000 : 30_000)
    return () => clearInterval(timer)
  }, [at])
  return now
}

/** A time: its date and time with the zone; the exact value as title. */
export const Time = ({ at }) =>
  at ? html`<time datetime=${at} title=${`${absolute(at)} (${at})`}>${absolute(at)}</time>` : '–'

/** The age of a time, such as "3 min ago", with the time as title. */
export function Age({ at }) {
  const now = useNow(at)
  return at ? html`<time datetime=${at} title=${`${absolute(at)} (${at})`}>${relative(at, now)}</time>` : '–'
}

/** The time between two times, counting while `to` is missing. */
export function Duration({ from, to }) {
  useNow(to ? null : from)
  return from ? html`<span class="duration">${between(from, to)}</span>` : '–'
}

/** An id, of which lists show the end: the beginning is the time. The whole is the title, and linked if `href` is set. */
export function Id({ value, href, whole = false }) {
  const shown = whole || value.length <= 13 ? value : `…${value.slice(-12)}`
  const text = html`<code class="id" title=${value}>${shown}</code>`
  return href ? html`<a href=${href} aria-label=${value}>${text}</a>` : text
}

/** A bar of progress in percent. */
export function Progress({ value, label = 'Progress' }) {
  if (value === null || value === undefined) return '–'
  return html`<span class="progress"><progress max="100" value=${value} aria-label=${label}></progress>
    <span>${Math.floor(value)} %</span></span>`
}
