import { Age, Button, ErrorNotice, Loading, Needs, notify, Section, Status, Table, Time } from '../components.js'
import { get, send } from '../lib/api.js'
import { duration } from '../lib/format.js'
import { usePolled } from '../lib/live.js'
import { html, useState } from '../lib/preact.js'
import { useChanged } from './pages-of.js'

const POLL_SECONDS = 5

/** Webhook deliveries of a job with their attempts. */
export const Deliveries = props => html`
  <${Section} title="Deliveries"><${Needs} scope="webhooks" what="This"><${List} ...${props} /></${Needs}></${Section}>`

function List({ jobId, version }) {
  const path = `/jobs/${encodeURIComponent(jobId)}/deliveries`
  const { data, error, loading, refresh } = usePolled(
    signal => get(path, { limit: 100 }, { signal }), POLL_SECONDS, [jobId],
  )
  useChanged(version, refresh)
  const [opened, setOpened] = useState(null)
  const redeliver = async delivery => {
    try {
      await send('POST', `/deliveries/${delivery.deliveryId}/redeliver`)
      notify('Delivery is sent again.')
    } catch (found) {
      notify(found.message, 'bad')
    }
    refresh()
  }
  const shown = data?.items.find(each => each.deliveryId === opened)
  const toggle = ({ deliveryId }) => setOpened(opened === deliveryId ? null : deliveryId)
  const columns = [
    { key: 'status', title: 'Status', cell: each => html`<${Status} value=${each.status} />` },
    { key: 'event', title: 'Event', cell: each => html`
      <a href=${`/ui/deliveries/${each.deliveryId}`}>${each.eventType}</a>` },
    { key: 'url', title: 'Receiver', cell: each => html`<bdi>${each.url ?? 'deleted'}</bdi>` },
    { key: 'last', title: 'Last response', cell: each => html`
      <bdi>${each.lastStatusCode ?? each.lastError ?? '–'}</bdi>` },
    { key: 'next', title: 'Next attempt', cell: each => html`<${Age} at=${each.nextAttemptAt} />` },
    { key: 'attempts', title: 'Attempts', cell: each => html`
      <button type="button" class="button small" aria-expanded=${opened === each.deliveryId ? 'true' : 'false'}
        onClick=${() => toggle(each)}>${each.attemptCount}
        <span class="visually-hidden"> attempts of ${each.eventType} </span>
        ${opened === each.deliveryId ? ' hide' : ' show'}</button>` },
    { key: 'again', title: 'Action', cell: each => html`
      <${Button} kind="small" scope="webhooks" onClick=${() => redeliver(each)}>Redeliver</${Button}>` },
  ]
  return html`
    <${ErrorNotice} error=${error} />
    ${loading && html`<${Loading} />`}
    ${data && html`<${Table} columns=${columns} rows=${data.items} rowKey=${each => each.deliveryId}
      caption="Deliveries, newest first" empty="No delivery: no webhook or callback received an event of this job." />`}
    ${shown && html`<${Attempts} key=${opened} deliveryId=${opened}
      version=${`${shown.status} ${shown.attemptCount}`} />`}`
}

function Attempts({ deliveryId, version }) {
  const { data, error, loading, refresh } = usePolled(
    signal => get(`/deliveries/${deliveryId}`, {}, { signal }), 0, [deliveryId],
  )
  useChanged(version, refresh)
  const columns = [
    { key: 'attempt', title: 'Attempt', numeric: true },
    { key: 'attemptedAt', title: 'Started', cell: each => html`<${Time} at=${each.attemptedAt} />` },
    { key: 'durationMs', title: 'Took', numeric: true, cell: each => duration(each.durationMs) },
    { key: 'statusCode', title: 'Response', numeric: true },
    { key: 'answer', title: 'Answer', cell: each => each.answer ? html`<pre>${each.answer}</pre>` : '–' },
    { key: 'error', title: 'Error', cell: each => each.error ? html`<bdi>${each.error}</bdi>` : '–' },
  ]
  return html`
    <h3>Attempts of the delivery</h3>
    <${ErrorNotice} error=${error} />
    ${loading && html`<${Loading} />`}
    ${data && html`<${Table} columns=${columns} rows=${data.attempts} rowKey=${each => each.attempt}
      caption="Attempts of the delivery, oldest first" empty="No attempt was made yet." />`}`
}
