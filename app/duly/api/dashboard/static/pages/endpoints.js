import { Age, Needs, Page, Section, Status, Table } from '../components.js'
import { html, useState } from '../lib/preact.js'
import { navigate } from '../lib/router.js'
import { successText } from '../operations/deliveries.js'
import { EndpointForm } from '../operations/endpoint-form.js'
import { Opener } from '../operations/forms.js'
import { Pages, Shown, usePages, useResource } from '../operations/lists.js'
import { SecretDialog } from '../operations/secret.js'

export default function Endpoints() {
  return html`
    <${Page} title="Endpoints" lead="Receivers of webhooks about jobs and batches.">
      <${Needs} scope="webhooks" what="The list of endpoints"><${List} /></${Needs}>
    </${Page}>`
}

const address = webhookId => `/ui/endpoints/${webhookId}`

function List() {
  const endpoints = usePages('/webhooks', { limit: 20 }, 10)
  const [created, setCreated] = useState(null)
  const create = html`<${Opener} action="Create" kind="primary" scope="webhooks" aria-label="Create an endpoint">
    ${close => html`<${EndpointForm} onSaved=${setCreated} onClose=${close} />`}</${Opener}>`
  return html`
    <${Section} title="All endpoints" actions=${create}>
      <${Shown} of=${endpoints} what="Loading endpoints…">
        ${({ items }) => html`<${Table} caption="Endpoints" columns=${COLUMNS} rows=${items}
          rowKey=${row => row.webhookId} empty="No endpoint is registered yet." />`}
      </${Shown}>
      <${Pages} of=${endpoints} />
    </${Section}>
    ${created && html`<${SecretDialog} title="Endpoint created" label="Secret" value=${created.secret}
      onClose=${() => { setCreated(null); navigate(address(created.webhookId)) }}>
      The receiver verifies webhooks with this secret.</${SecretDialog}>`}`
}

const COLUMNS = [
  { key: 'url', title: 'URL', cell: row => html`<a href=${address(row.webhookId)}>${row.url}</a>` },
  { key: 'description', title: 'Description' },
  { key: 'events', title: 'Events', cell: row => row.events.join(', ') },
  { key: 'status', title: 'Status', cell: row => html`<${Status} value=${row.status} />` },
  { key: 'circuit', title: 'Circuit', cell: row => html`<${Status} value=${row.circuit.state} />` },
  { key: 'health', title: 'Newest deliveries', cell: row => html`<${Health} webhookId=${row.webhookId} />` },
]

function Health({ webhookId }) {
  const { data } = useResource(`/webhooks/${webhookId}/health`, {}, 15)
  if (!data) return '–'
  if (!data.recent) return data.pending ? `${data.pending} waiting` : 'none yet'
  return html`${successText(data)} of ${data.recent} delivered${data.lastDeliveredAt && html`,
    last <${Age} at=${data.lastDeliveredAt} />`}`
}
