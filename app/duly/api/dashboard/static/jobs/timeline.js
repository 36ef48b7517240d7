import { Button, Duration, ErrorNotice, JsonText, Loading, Section, Status, Table, Time } from '../components.js'
import { between } from '../lib/format.js'
import { memberTexts } from '../lib/json.js'
import { html, useMemo, useState } from '../lib/preact.js'
import { entriesOf, runsOf, toneOf, wordsOf } from './history.js'
import { usePages } from './pages-of.js'

/** The attempts and the timeline of a job, both from its events. */
export function Timeline({ jobId, version }) {
  const { items, more, error, loading, readMore } = usePages(`/jobs/${encodeURIComponent(jobId)}/events`, { version })
  const entries = useMemo(() => entriesOf(items), [items])
  const runs = useMemo(() => runsOf(items.map(item => item.value)), [items])
  return html`
    ${runs.length > 0 && html`<${Section} title="Attempts"><${Runs} runs=${runs} /></${Section}>`}
    <${Section} title="Timeline">
      <${ErrorNotice} error=${error} />
      ${loading && html`<${Loading} />`}
      <ol class="timeline">${entries.map((entry, index) => html`
        <${Entry} key=${entry.first} ...${entry} before=${entries[index - 1]?.event} />`)}</ol>
      ${more && html`
        <div><${Button} onClick=${readMore}>Read later events</${Button}></div>`}
    </${Section}>`
}

function Entry({ event, text, reports, before }) {
  const [open, setOpen] = useState(false)
  const { occurredAt, metadata, sequence } = event
  const data = open ? memberTexts(text).data : null
  return html`
    <li class=${toneOf(event)}>
      <span class="words"><bdi>${wordsOf(event)}</bdi>
        ${reports > 1 && html`<span class="hint"> (${reports} reports)</span>`}</span>
      <span class="hint"><${Time} at=${occurredAt} />
        ${before && html` · <span class="delta">+${between(before.occurredAt, occurredAt)}</span>`}
        ${' · '}<bdi>${metadata.source}</bdi></span>
      <details onToggle=${toggled => setOpen(toggled.target.open)}>
        <summary>Event ${sequence}: ${event.eventType}</summary>
        ${open && html`<${JsonText} text=${data} label=${`data of event ${sequence}`} />`}
      </details>
    </li>`
}

function Runs({ runs }) {
  const start = Math.min(...runs.map(run => Date.parse(run.from)))
  const end = Math.max(...runs.map(run => run.to ? Date.parse(run.to) : Date.now()), start + 1)
  const share = at => (Date.parse(at) - start) / (end - start) * 100
  const columns = [
    { key: 'number', title: 'Attempt', numeric: true },
    { key: 'outcome', title: 'Outcome', cell: run => html`<${Status} value=${run.outcome} tone=${run.tone} />` },
    { key: 'from', title: 'Started', cell: run => html`<${Time} at=${run.from} />` },
    { key: 'duration', title: 'Run time', numeric: true, cell: run => html`
      <${Duration} from=${run.from} to=${run.to} />` },
    { key: 'source', title: 'Worker', cell: run => html`<bdi>${run.source}</bdi>` },
    { key: 'bar', title: 'When', cell: run => html`
      <${Bar} from=${share(run.from)} to=${run.to ? share(run.to) : 100} tone=${run.tone} />` },
  ]
  return html`<${Table} columns=${columns} rows=${runs} rowKey=${run => `${run.from} ${run.number}`}
    caption="Attempts, oldest first" />`
}

/** A bar within the time of all attempts. The columns beside it say the same in words. */
const Bar = ({ from, to, tone }) => html`
  <svg class="run-bar" aria-hidden="true" focusable="false">
    <rect class=${tone} x=${`${from}%`} y="0" width=${`${Math.max(to - from, 1)}%`} height="100%" rx="2" /></svg>`
