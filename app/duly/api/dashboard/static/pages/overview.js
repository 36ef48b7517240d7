import { ErrorNotice, Loading, Page, Section, SelectField, Stat, Stats } from '../components.js'
import { get } from '../lib/api.js'
import { count, duration, rate } from '../lib/format.js'
import { usePolled } from '../lib/live.js'
import { html } from '../lib/preact.js'
import { setQuery } from '../lib/router.js'
import { Figures, RANGES, total, useFigures } from '../overview/figures.js'
import { NodesTable } from '../overview/nodes-table.js'
import { Restrictions, readRestrictions } from '../overview/restrictions.js'

const MOST_QUEUES = 1000

export default function Overview({ query }) {
  const range = query.get('range') in RANGES ? query.get('range') : '1h'
  const queue = query.get('queue') ?? ''
  const figures = useFigures(range, queue)
  const now = usePolled(readNow, 5)
  const restrictions = useRestrictions(now.data)
  const names = [...new Set([...now.data?.queues.map(each => each.queue) ?? [], queue].filter(Boolean))]
  const choose = change => setQuery({ range: range === '1h' ? null : range, queue, ...change })
  return html`
    <${Page} title="Overview" actions=${html`<${Ranges} range=${range} onChange=${choose} />`}>
      ${now.error && html`<${ErrorNotice} error=${now.error} onRetry=${now.refresh} />`}
      <${Now} now=${now.data} figures=${figures.data} range=${range} queue=${queue} />
      <${Section} title="What holds jobs back">
        <${ErrorNotice} error=${restrictions.error} />
        ${restrictions.data ? html`<${Restrictions} items=${restrictions.data} />`
          : !restrictions.error && !now.error && html`<${Loading} />`}
      </${Section}>
      <div class="filters"><${SelectField} label="Plots of the queue" value=${queue}
        options=${[['', 'All queues'], ...names]} onInput=${value => choose({ queue: value })} /></div>
      <${Figures} figures=${figures.data} error=${figures.error} onRetry=${figures.refresh} />
      <${Section} title="Nodes">
        ${now.data ? html`<${NodesTable} nodes=${now.data.nodes} />` : !now.error && html`<${Loading} />`}
      </${Section}>
    </${Page}>`
}

function Ranges({ range, onChange }) {
  return html`<div class="actions" role="group" aria-label="Time range of the plots">
    ${Object.keys(RANGES).map(each => html`<button type="button" key=${each} class="button"
      aria-pressed=${each === range ? 'true' : 'false'} onClick=${() => onChange({ range: each === '1h' ? null : each })}>
      ${each.replace('h', ' h')}</button>`)}
  </div>`
}

async function readNow(signal) {
  const [queues, { items: nodes }] = await Promise.all([allQueues(signal), get('/nodes', {}, { signal })])
  return { queues, nodes }
}

/** Reads what holds jobs back apart from the figures, which are shown at once: it takes more requests. */
function useRestrictions(now) {
  const read = signal => now ? readRestrictions(now.queues, now.nodes, signal) : Promise.resolve(null)
  return usePolled(read, 5, [Boolean(now)])
}

async function allQueues(signal) {
  const queues = []
  let cursor = null
  do {
    const page = await get('/queues', { limit: 200, cursor }, { signal })
    queues.push(...page.items)
    cursor = page.nextCursor
  } while (cursor && queues.length < MOST_QUEUES)
  return queues
}

/** The figures of this moment, and the sums of the range. */
function Now({ now, figures, range, queue }) {
  const queues = now?.queues.filter(each => !queue || each.queue === queue)
  const sum = name => queues ? queues.reduce((one, each) => one + each[name], 0) : null
  const oldest = queues && Math.max(0, ...queues.map(each => each.oldestAgeSeconds ?? 0))
  const inRange = (...names) => figures ? count(total(figures, ...names)) : '–'
  const failed = figures ? total(figures, 'failed') : 0
  const undelivered = figures ? total(figures, 'deliveriesFailed') : 0
  const since = `last ${range === '1h' ? 'hour' : '24 h'}`
  return html`
    <${Stats}>
      <${Stat} label="Waiting" value=${count(sum('depth'))} href="/ui/jobs?status=pending" />
      <${Stat} label="Running" value=${count(sum('running'))} href="/ui/jobs?status=running" />
      <${Stat} label="Oldest wait" value=${queues ? (oldest ? duration(oldest * 1000) : 'none') : '–'}
        tone=${oldest > 60 ? 'warn' : ''} />
      <${Stat} label="In" value=${rate(sum('inPerSecond'))} hint=${`${inRange('submitted')} in the ${since}`} />
      <${Stat} label="Out" value=${rate(sum('outPerSecond'))}
        hint=${`${inRange('completed', 'failed', 'cancelled')} in the ${since}`} />
      <${Stat} label="Failed" value=${inRange('failed')} hint=${since} tone=${failed ? 'bad' : ''}
        href="/ui/jobs?status=failed" />
      ${!queue && html`<${Stat} label="Deliveries failed" value=${inRange('deliveriesFailed')}
        tone=${undelivered ? 'warn' : ''} hint=${`${inRange('deliveriesSucceeded')} succeeded, ${since}`} />`}
    </${Stats}>`
}
