import { Age, Confirm, Needs, Page, Section, Status, Table, Time, notify } from '../components.js'
import { send } from '../lib/api.js'
import { html } from '../lib/preact.js'
import { can, signIn, useSession } from '../lib/session.js'
import { store } from '../lib/store.js'
import { Opener } from '../operations/forms.js'
import { KeyForm, RotateForm } from '../operations/key-form.js'
import { Pages, Shown, usePages } from '../operations/lists.js'
import { SecretDialog } from '../operations/secret.js'
import { Tenants } from '../operations/tenants.js'

/** The key that was created last, as long as its dialog is open. The first one of a service ends an open session. */
const disclosed = store(null)

export default function Keys() {
  const made = disclosed.use()
  return html`
    <${Page} title="Keys" lead="API keys of this tenant. A key that was revoked or has ended is not listed.">
      <${Needs} scope="admin" what="The list of keys"><${List} /></${Needs}>
      ${can('operator') && html`<${Tenants} />`}
      ${made && html`<${SecretDialog} title=${`Key “${made.name}” created`} label="Key" value=${made.key}
        onClose=${() => disclosed.set(null)}>Requests send it as a bearer token.</${SecretDialog}>`}
    </${Page}>`
}

function List() {
  const keys = usePages('/keys', { limit: 50 }, 10)
  const { keyId, open } = useSession()
  const disclose = async created => {
    disclosed.set(created)
    if (open) await signIn(created.key)
    keys.refresh()
  }
  const create = html`<${Opener} action="Create" kind="primary" scope="admin" aria-label="Create a key">
    ${close => html`<${KeyForm} onCreated=${disclose} onClose=${close} />`}</${Opener}>`
  return html`
    <${Section} title="All keys" actions=${create}>
      <${Shown} of=${keys} what="Loading keys…">
        ${({ items }) => html`<${Table} caption="Keys" rows=${items} rowKey=${row => row.keyId}
          columns=${columns({ own: keyId, disclose, refresh: keys.refresh })}
          empty="There is no key. Without any, the service is open to this machine." />`}
      </${Shown}>
      <${Pages} of=${keys} />
    </${Section}>`
}

const columns = ({ own, disclose, refresh }) => [
  { key: 'name', title: 'Name', cell: row => html`<strong>${row.name}</strong>
    ${row.keyId === own && html` <${Status} value="this key" tone="good" />`}` },
  { key: 'keyId', title: 'Id', cell: row => html`<code class="key-id">${row.keyId}</code>` },
  { key: 'scopes', title: 'Scopes', cell: row => row.scopes.join(', ') },
  { key: 'bounds', title: 'Bound to', cell: bounds },
  { key: 'expires', title: 'Expires', cell: row => html`<${Expiry} ...${row} />` },
  { key: 'used', title: 'Last used', cell: row => row.lastUsedAt ? html`<${Age} at=${row.lastUsedAt} />` : 'never' },
  { key: 'created', title: 'Created', cell: row => html`<${Age} at=${row.createdAt} /> by ${row.createdBy}` },
  { key: 'actions', title: 'Actions', cell: row => html`<${Actions} ...${{ row, own, disclose, refresh }} />` },
]

const bounds = ({ types, queues, rate }) => [
  types && `types ${types.join(', ')}`,
  queues && `queues ${queues.join(', ')}`,
  rate && `${rate.count} requests per ${rate.seconds} s`,
].filter(Boolean).join('; ') || '–'

function Expiry({ expiresAt, validUntil }) {
  if (validUntil) return html`<${Status} value="rotated" tone="warn" /> ends <${Age} at=${validUntil} />`
  return expiresAt ? html`<${Time} at=${expiresAt} />` : 'never'
}

function Actions({ row, own, disclose, refresh }) {
  const revoke = async () => {
    await send('DELETE', `/keys/${encodeURIComponent(row.keyId)}`)
    notify(`Key “${row.name}” revoked.`)
    refresh()
  }
  const warning = row.keyId === own ? ' It is the key of this session, which ends too.' : ''
  return html`
    <span class="actions">
      <${Opener} action="Rotate" kind="small" scope="admin" disabled=${Boolean(row.validUntil)}
        aria-label=${`Rotate ${row.name}`}>
        ${close => html`<${RotateForm} row=${row} onRotated=${disclose} onClose=${close} />`}</${Opener}>
      <${Confirm} action="Revoke" label=${`Revoke ${row.name}`} kind="danger small" scope="admin"
        title=${`Revoke the key “${row.name}”?`} onConfirm=${revoke}
        text=${`Requests with it are refused, and its streams end, within 5 seconds.${warning}`} />
    </span>`
}
