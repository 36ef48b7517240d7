import { Age, KeyValue, Notice, Page, Section, Status, Time } from '../components.js'
import { html } from '../lib/preact.js'
import { Deliveries, HealthStats, Replays, useDeliveries } from '../operations/deliveries.js'
import { EndpointActions } from '../operations/endpoint-actions.js'
import { limitsText } from '../operations/limits.js'
import { Guarded } from '../operations/guarded.js'
import { Shown, usePages, useResource } from '../operations/lists.js'

export default function Endpoint({ params }) {
  return html`<${Guarded} scope="webhooks" title="Endpoint"><${One} webhookId=${params.webhookId} /></${Guarded}>`
}

function One({ webhookId }) {
  const path = `/webhooks/${encodeURIComponent(webhookId)}`
  const endpoint = useResource(path, {}, 5)
  const health = useResource(`${path}/health`, {}, 5)
  const deliveries = useDeliveries(webhookId)
  const replays = usePages(`${path}/replays`, { limit: 5 }, 2)
  const refresh = () => [endpoint, health, deliveries, replays].forEach(each => each.refresh())
  const actions = endpoint.data && html`<${EndpointActions} endpoint=${endpoint.data} onChanged=${refresh} />`
  return html`
    <${Page} title=${endpoint.data?.url ?? 'Endpoint'} actions=${actions}>
      <p><a href="/ui/endpoints">All endpoints</a></p>
      <${Shown} of=${endpoint}>
        ${found => html`
          <${Troubles} endpoint=${found} />
          ${health.data && html`<${HealthStats} health=${health.data} />`}
          <${Facts} endpoint=${found} />
          <${Replays} replays=${replays} />
          <${Deliveries} deliveries=${deliveries} />`}
      </${Shown}>
    </${Page}>`
}

const Troubles = ({ endpoint: { status, disabledAt, disabledReason, circuit } }) => html`
  ${status === 'disabled' && html`
    <${Notice} tone="bad">Disabled <${Age} at=${disabledAt} />: ${disabledReason}</${Notice}>`}
  ${circuit.state === 'open' && html`
    <${Notice} tone="bad">The receiver has failed since <${Time} at=${circuit.failingSince} />: ${circuit.lastError}.
      Single probes are sent until one succeeds.</${Notice}>`}
  ${circuit.state !== 'open' && circuit.lastError && html`<${Notice}>Last error: ${circuit.lastError}</${Notice}>`}`

const headersText = names => names === null ? 'cannot be decrypted here' : names.join(', ') || 'none'

const Facts = ({ endpoint }) => html`
  <${Section} title="Endpoint">
    <${KeyValue} items=${[
      ['Status', html`<${Status} value=${endpoint.status} />`],
      ['Description', endpoint.description],
      ['Events', endpoint.events.join(', ')],
      ['Job types', endpoint.types.join(', ') || 'all'],
      ['Labels', Object.entries(endpoint.labels).map(([name, value]) => `${name}: ${value}`).join(', ') || 'any'],
      ['Headers', headersText(endpoint.headerNames)],
      ['Signatures', endpoint.signatures.join(', ')],
      ['Previous secret signs until', endpoint.previousSecretUntil
        ? html`<${Time} at=${endpoint.previousSecretUntil} />` : undefined],
      ['Limits', limitsText(endpoint.limits)],
      ['Created', html`<${Time} at=${endpoint.createdAt} />`],
      ['Last changed', html`<${Time} at=${endpoint.updatedAt} />`],
      ['Id', html`<code>${endpoint.webhookId}</code>`],
    ]} />
  </${Section}>`
