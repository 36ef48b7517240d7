import { Age, Confirm, KeyValue, Page, Section, Status, Time, notify } from '../components.js'
import { send } from '../lib/api.js'
import { duration } from '../lib/format.js'
import { html } from '../lib/preact.js'
import { Guarded } from '../operations/guarded.js'
import { Shown, useResource } from '../operations/lists.js'

export default function Delivery({ params }) {
  return html`<${Guarded} scope="webhooks" title="Delivery"><${One} deliveryId=${params.deliveryId} /></${Guarded}>`
}

function One({ deliveryId }) {
  const path = `/deliveries/${encodeURIComponent(deliveryId)}`
  const delivery = useResource(path, {}, 2)
  const redeliver = async () => {
    await send('POST', `${path}/redeliver`)
    notify('The delivery is sent again.')
    delivery.refresh()
  }
  const actions = delivery.data && html`<${Confirm} action="Redeliver" kind="primary" scope="webhooks"
    title="Send the delivery again?" onConfirm=${redeliver}
    text="It is sent at once, under the same webhook id, to the present URL of the receiver." />`
  return html`
    <${Page} title=${delivery.data ? `Delivery of ${delivery.data.eventType}` : 'Delivery'} actions=${actions}>
      <${Shown} of=${delivery}>
        ${found => html`
          <${Facts} delivery=${found} />
          <${Section} title="Attempts">
            ${found.attempts.length ? found.attempts.map(each => html`<${Attempt} key=${each.attempt} ...${each} />`)
              : html`<p class="empty">No attempt has ended yet.</p>`}
          </${Section}>`}
      </${Shown}>
    </${Page}>`
}

const Facts = ({ delivery }) => html`
  <${Section} title="Delivery">
    <${KeyValue} items=${[
      ['Status', html`<${Status} value=${delivery.status} />`],
      ['Receiver', delivery.url ?? 'deleted'],
      ['Endpoint', delivery.webhookId
        ? html`<a href=${`/ui/endpoints/${delivery.webhookId}`}>${delivery.webhookId}</a>` : 'callbackUrl of the job'],
      ['Job', delivery.jobId ? html`<a href=${`/ui/jobs/${delivery.jobId}`}>${delivery.jobId}</a>` : undefined],
      ['Event id', html`<code>${delivery.eventId}</code>`],
      ['Attempts', delivery.attemptCount],
      ['Created', html`<${Time} at=${delivery.createdAt} />`],
      ['Next attempt', delivery.nextAttemptAt ? html`<${Age} at=${delivery.nextAttemptAt} />` : undefined],
      ['Ended', delivery.completedAt ? html`<${Time} at=${delivery.completedAt} />` : undefined],
    ]} />
  </${Section}>`

const Attempt = ({ attempt, attemptedAt, durationMs, statusCode, answer, error }) => html`
  <article class="attempt" aria-label=${`Attempt ${attempt}`}>
    <h3>Attempt ${attempt}</h3>
    <${KeyValue} items=${[
      ['Status code', statusCode ?? 'no response'],
      ['Outcome', html`<${Status} value=${error === null ? 'delivered' : 'failed'} />`],
      ['Started', html`<${Time} at=${attemptedAt} />`],
      ['Duration', duration(durationMs)],
      ['Error', error ?? undefined],
    ]} />
    ${answer ? html`<pre tabindex="0" role="region" aria-label=${`Answer to attempt ${attempt}`}>${answer}</pre>`
      : html`<p class="empty">The answer had no body.</p>`}
  </article>`
