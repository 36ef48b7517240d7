// Deliveries of an endpoint, and its replays.
import { Age, KeyValue, Section, SelectField, Stat, Stats, Status, Table } from '../components.js'
import { count, plural } from '../lib/format.js'
import { html, useState } from '../lib/preact.js'
import { Pages, Shown, usePages } from './lists.js'

const STATUSES = [['', 'any'], 'pending', 'delivered', 'failed']
const EVENTS = [['', 'any'], 'job.started', 'job.progress', 'job.retrying', 'job.completed', 'job.failed',
  'job.cancelled', 'batch.completed', 'webhook.test', 'endpoint.disabled']

/** The deliveries of an endpoint; `deliveries` is what `useDeliveries` returns. */
export function useDeliveries(webhookId) {
  const [filter, setFilter] = useState({ status: '', event: '' })
  return { filter, setFilter, ...usePages(`/webhooks/${webhookId}/deliveries`, { limit: 25, ...filter }, 3) }
}

export function Deliveries({ deliveries }) {
  const { filter, setFilter } = deliveries
  return html`
    <${Section} title="Deliveries">
      <div class="filters">
        <${SelectField} label="Status" value=${filter.status} options=${STATUSES}
          onInput=${status => setFilter({ ...filter, status })} />
        <${SelectField} label="Event" value=${filter.event} options=${EVENTS}
          onInput=${event => setFilter({ ...filter, event })} />
      </div>
      <${Shown} of=${deliveries} what="Loading deliveries…">
        ${({ items }) => html`<${Table} caption="Deliveries" columns=${COLUMNS} rows=${items}
          rowKey=${row => row.deliveryId} empty="No such delivery." />`}
      </${Shown}>
      <${Pages} of=${deliveries} />
    </${Section}>`
}

const COLUMNS = [
  { key: 'created', title: 'Created', cell: row => html`
    <a href=${`/ui/deliveries/${row.deliveryId}`}><${Age} at=${row.createdAt} /></a>` },
  { key: 'eventType', title: 'Event' },
  { key: 'status', title: 'Status', cell: row => html`<${Status} value=${row.status} />` },
  { key: 'attemptCount', title: 'Attempts', numeric: true },
  { key: 'code', title: 'Answer', cell: row => row.lastStatusCode },
  { key: 'error', title: 'Last error', cell: row => row.lastError },
  { key: 'next', title: 'Next attempt', cell: row => row.nextAttemptAt && html`<${Age} at=${row.nextAttemptAt} />` },
  { key: 'job', title: 'Job', cell: row => row.jobId && html`
    <a href=${`/ui/jobs/${row.jobId}`}><code title=${row.jobId}>…${row.jobId.slice(-12)}</code></a>` },
]

/** Figures of the health of an endpoint, as `GET /webhooks/{id}/health` returns them. */
export const HealthStats = ({ health }) => html`
  <${Stats}>
    <${Stat} label="Circuit" value=${html`<${Status} value=${health.circuit.state} />`}
      hint=${health.circuit.nextProbeAt && html`probe <${Age} at=${health.circuit.nextProbeAt} />`} />
    <${Stat} label="Success" value=${successText(health)} tone=${isBad(health) ? 'bad' : undefined}
      hint=${health.recent ? `of the newest ${health.recent}` : 'nothing delivered yet'} />
    <${Stat} label="Waiting" value=${count(health.pending)} />
    <${Stat} label="Last success" value=${html`<${Age} at=${health.lastDeliveredAt} />`} />
    <${Stat} label="Last failure" value=${html`<${Age} at=${health.lastFailedAt} />`} />
    <${Stat} label="Failures in a row" value=${count(health.circuit.failures)} />
  </${Stats}>`

const isBad = ({ recent, successRate }) => recent > 0 && successRate < 0.9

/** Returns the share of deliveries that succeeded, never rounded up to 100 %. */
export const successText = ({ successRate }) =>
  successRate === null ? '–' : `${Math.floor(successRate * 1000) / 10} %`

/** Replays of an endpoint with their progress, the newest first; nothing without any. */
export function Replays({ replays }) {
  if (!replays.data?.items.length) return null
  return html`
    <${Section} title="Replays">
      ${replays.data.items.map(replay => html`<${Replay} key=${replay.replayId} ...${replay} />`)}
      <${Pages} of=${replays} />
    </${Section}>`
}

function Replay({ status, since, createdAt, found, delivered, failed, waiting }) {
  const done = delivered + failed
  return html`
    <div class="replay">
      <${KeyValue} items=${[
        ['Status', html`<${Status} value=${status} />`],
        ['Started', html`<${Age} at=${createdAt} />`],
        ['Failed since', html`<${Age} at=${since} />`],
        ['Found', plural(found, 'delivery', 'deliveries')],
        ['Delivered', count(delivered)],
        ['Failed again', count(failed)],
        ['Waiting', count(waiting)],
      ]} />
      <progress max=${found || 1} value=${found ? done : Number(status === 'completed')}
        aria-label="Progress of the replay"></progress>
    </div>`
}
