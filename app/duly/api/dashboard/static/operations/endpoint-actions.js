// What can be done with an endpoint.
import { Button, Confirm, Field, notify } from '../components.js'
import { send } from '../lib/api.js'
import { html, useState } from '../lib/preact.js'
import { navigate } from '../lib/router.js'
import { EndpointForm } from './endpoint-form.js'
import { FormDialog, Opener } from './forms.js'
import { SecretDialog } from './secret.js'
import { isoOf } from './times.js'

export function EndpointActions({ endpoint, onChanged }) {
  const path = `/webhooks/${endpoint.webhookId}`
  const test = async () => {
    try {
      const { deliveryId } = await send('POST', `${path}/test`)
      notify('Test webhook sent. Its delivery is shown below.')
      onChanged(deliveryId)
    } catch (error) {
      notify(error.message, 'bad')
    }
  }
  const change = (members, done) => async () => {
    await send('PATCH', path, members)
    notify(`Endpoint ${done}.`)
    onChanged()
  }
  const remove = async () => {
    await send('DELETE', path)
    notify('Endpoint deleted.')
    navigate('/ui/endpoints')
  }
  return html`
    <${Button} scope="webhooks" disabled=${endpoint.status === 'disabled'} onClick=${test}>Send test</${Button}>
    <${Rotate} ...${{ path, onChanged }} />
    <${Opener} action="Replay" scope="webhooks" disabled=${endpoint.status === 'disabled'}>
      ${close => html`<${Replay} ...${{ path, onChanged }} onClose=${close} />`}</${Opener}>
    ${endpoint.status === 'disabled'
      ? html`<${Confirm} key="enable" action="Enable" kind="" scope="webhooks" title="Enable the endpoint?"
          text="It receives new events again, and its failures are reset."
          onConfirm=${change({ disabled: false }, 'enabled')} />`
      : html`<${Confirm} key="disable" action="Disable" scope="webhooks" title="Disable the endpoint?"
          text="It receives nothing more, and its waiting deliveries fail."
          onConfirm=${change({ disabled: true }, 'disabled')} />`}
    ${endpoint.paused
      ? html`<${Confirm} key="resume" action="Resume" kind="" scope="webhooks" title="Resume the endpoint?"
          text="Deliveries that have waited are sent." onConfirm=${change({ paused: false }, 'resumed')} />`
      : html`<${Confirm} key="pause" action="Pause" scope="webhooks" title="Pause the endpoint?"
          text="It receives nothing; its deliveries wait." onConfirm=${change({ paused: true }, 'paused')} />`}
    <${Opener} action="Change" scope="webhooks">
      ${close => html`<${EndpointForm} endpoint=${endpoint} onSaved=${() => onChanged()} onClose=${close} />`}
    </${Opener}>
    <${Confirm} action="Delete" scope="webhooks" title="Delete the endpoint?" text="Its waiting deliveries fail."
      onConfirm=${remove} />`
}

function Rotate({ path, onChanged }) {
  const [secret, setSecret] = useState(null)
  const rotate = async () => {
    setSecret((await send('POST', `${path}/rotate-secret`)).secret)
    onChanged()
  }
  return html`
    <${Confirm} action="Rotate secret" scope="webhooks" title="Rotate the secret?" onConfirm=${rotate}
      text="Webhooks are signed with a new secret and, for 24 hours, with the present one too." />
    ${secret && html`<${SecretDialog} title="New secret" label="Secret" value=${secret}
      onClose=${() => setSecret(null)}>Give this secret to the receiver within 24 hours.</${SecretDialog}>`}`
}

function Replay({ path, onChanged, onClose }) {
  const [since, setSince] = useState('')
  const begin = async () => {
    if (!isoOf(since)) throw { since: 'must be a date and a time' }
    await send('POST', `${path}/replay`, { since: isoOf(since) })
    notify('Replay started.')
    onChanged()
    onClose()
  }
  return html`
    <${FormDialog} title="Replay failed deliveries" submit="Start replay" onSubmit=${begin} onClose=${onClose}>
      ${at => html`
        <p>All deliveries created since a time that have failed are sent again, oldest first.</p>
        <${Field} label="Failed since" type="datetime-local" step="1" value=${since} onInput=${setSince}
          error=${at('since')} hint="In the time zone of this browser." />`}
    </${FormDialog}>`
}
