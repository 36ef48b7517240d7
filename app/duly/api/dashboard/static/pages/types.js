import { Age, JsonText, KeyValue, Notice, Page, Section, Status, Table, Time } from '../components.js'
import { getText } from '../lib/api.js'
import { count, duration, plural } from '../lib/format.js'
import { member } from '../lib/json.js'
import { usePolled } from '../lib/live.js'
import { html } from '../lib/preact.js'
import { Guarded } from '../operations/guarded.js'
import { LimitsButton, limitsText } from '../operations/limits.js'
import { Pages, Shown, usePages, useResource } from '../operations/lists.js'

/** All job types, or the one that `?type=` names: names of types have slashes. */
export default function Types({ query }) {
  const type = query.get('type')
  return html`<${Guarded} scope="jobs:read" title="Types">
    ${type ? html`<${OneType} key=${type} type=${type} />` : html`<${AllTypes} />`}</${Guarded}>`
}

const address = type => `/ui/types?type=${encodeURIComponent(type)}`

function AllTypes() {
  const types = usePages('/job-types', { limit: 50 }, 5)
  return html`
    <${Page} title="Types" lead="Job types that the service knows, and whether a worker runs them.">
      <${Section} title="All job types">
        <${Shown} of=${types} what="Loading job types…">
          ${({ items }) => html`<${Table} caption="Job types" columns=${COLUMNS} rows=${items} rowKey=${row => row.type}
            empty="No job type is known. A worker declares its types when it starts." />`}
        </${Shown}>
        <${Pages} of=${types} newest="First" next="More" />
      </${Section}>
    </${Page}>`
}

const seconds = value => value === null || value === undefined ? '–' : duration(value * 1000)

const COLUMNS = [
  { key: 'type', title: 'Type', cell: row => html`<a href=${address(row.type)}>${row.type}</a>` },
  { key: 'workers', title: 'Workers', cell: row => html`<${Workers} number=${row.workers} />` },
  { key: 'breaker', title: 'Breaker',
    cell: row => row.breaker ? html`<${Status} value=${row.breaker.state} />` : '–' },
  { key: 'p50', title: 'P50', numeric: true, cell: row => seconds(row.observed?.p50Seconds) },
  { key: 'p99', title: 'P99', numeric: true, cell: row => seconds(row.observed?.p99Seconds) },
  { key: 'suggested', title: 'Suggested timeout', numeric: true,
    cell: row => seconds(row.observed?.suggestedTimeoutSeconds) },
  { key: 'timeout', title: 'Timeout', numeric: true, cell: row => seconds(row.defaults.timeoutSeconds) },
  { key: 'declared', title: 'Declared by', cell: row => row.declaredBy },
  { key: 'description', title: 'Description', cell: row => row.description.split('\n')[0].slice(0, 200) },
]

const Workers = ({ number }) => html`
  <${Status} value=${number ? plural(number, 'worker') : 'no worker'} tone=${number ? 'good' : 'warn'} />`

function OneType({ type }) {
  const path = `/job-types/${encodeURIComponent(type)}`
  const text = usePolled(signal => getText(path, {}, { signal }), 5, [path])
  const limits = useResource(`${path}/limits`, {}, 30)
  const actions = html`
    <a class="button" href=${`/ui/jobs?type=${encodeURIComponent(type)}`}>Jobs</a>
    <${LimitsButton} path=${`${path}/limits`} of=${`job type “${type}”`} onChanged=${limits.refresh} />`
  return html`
    <${Page} title=${type} actions=${actions}>
      <p><a href="/ui/types">All job types</a></p>
      <${Shown} of=${text}>
        ${found => html`<${Details} text=${found} limits=${limits.data} />`}
      </${Shown}>
    </${Page}>`
}

function Details({ text, limits }) {
  const { workers, breaker, observed, description, defaults, ...facts } = JSON.parse(text)
  return html`
    ${workers === 0 && html`<${Notice}>No live worker runs this type. Its jobs wait until one does.</${Notice}>`}
    ${description && html`<p class="description">${description}</p>`}
    ${breaker && html`<${Breaker} ...${breaker} />`}
    <${Section} title="Run times">
      ${observed ? html`<${KeyValue} items=${[
        ['P50', seconds(observed.p50Seconds)],
        ['P99', seconds(observed.p99Seconds)],
        ['Suggested timeout', seconds(observed.suggestedTimeoutSeconds)],
        ['Timeout', seconds(defaults.timeoutSeconds)],
        ['Completed jobs counted', count(observed.count)],
      ]} />` : html`<p class="empty">No job of this type has completed yet.</p>`}
    </${Section}>
    <${Section} title="Declaration">
      <${KeyValue} items=${[
        ['Workers', html`<${Workers} number=${workers} />`],
        ['Limits', limits && limitsText(limits)],
        ['Timeout of an attempt', seconds(defaults.timeoutSeconds)],
        ['Attempts', defaults.maxAttempts],
        ['Delay between attempts', retryText(defaults.retry)],
        ['Queue', defaults.queue ?? 'default'],
        ['Once attempts are used up', defaults.onExhausted === 'hold' ? 'the job is held' : 'the job fails'],
        ['Declared by', facts.declaredBy],
        ['Declared', html`<${Time} at=${facts.declaredAt} />`],
        ['Isolation', facts.isolation],
        ['Batch', facts.batch ? `${facts.batch.size} jobs, waits ${seconds(facts.batch.lingerSeconds)}` : undefined],
      ]} />
    </${Section}>
    <${Section} title="Schema of the parameters"><${JsonText} text=${member(text, 'parametersSchema')}
      label="schema of the parameters" /></${Section}>
    <${Section} title="Schema of the result"><${JsonText} text=${member(text, 'resultSchema')}
      label="schema of the result" /></${Section}>`
}

function retryText({ shape, firstSeconds, capSeconds, factor }) {
  const first = seconds(firstSeconds)
  if (shape === 'fixed') return first
  return shape === 'linear' ? `n × ${first}, at most ${seconds(capSeconds)}`
    : `${first} × ${factor}ⁿ, at most ${seconds(capSeconds)}`
}

function Breaker({ state, failures, code, openUntil }) {
  return html`
    <${Section} title="Circuit breaker">
      <${KeyValue} items=${[
        ['State', html`<${Status} value=${state} />`],
        ['Failures in a row', count(failures)],
        ['Their error code', code && html`<code>${code}</code>`],
        ['Next probe', state === 'half-open' ? 'one job runs as a probe' : html`<${Age} at=${openUntil} />`],
      ]} />
    </${Section}>`
}
