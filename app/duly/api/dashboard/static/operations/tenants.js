// Tenants of the installation, for operators.
import { Field, Section, Table, Time, notify } from '../components.js'
import { send } from '../lib/api.js'
import { count } from '../lib/format.js'
import { html, useState } from '../lib/preact.js'
import { FormDialog, Opener, numberOf } from './forms.js'
import { Pages, Shown, usePages } from './lists.js'

const LIMITS = [
  ['submitRate', 'Jobs submitted per second'], ['submitBurst', 'Jobs submitted at once'],
  ['backlogLimit', 'Waiting jobs per queue'], ['retentionDays', 'Days that ended jobs are kept'],
  ['maxEndpoints', 'Endpoints'], ['maxSchedules', 'Schedules'], ['maxKeys', 'Keys'], ['maxQueues', 'Queues'],
]

export function Tenants() {
  const tenants = usePages('/tenants', { limit: 50 }, 30)
  const create = html`<${Opener} action="Create a tenant" scope="operator">
    ${close => html`<${TenantForm} onSaved=${tenants.refresh} onClose=${close} />`}</${Opener}>`
  return html`
    <${Section} title="Tenants" actions=${create}>
      <${Shown} of=${tenants} what="Loading tenants…">
        ${({ items }) => html`<${Table} caption="Tenants" columns=${columns(tenants.refresh)} rows=${items}
          rowKey=${row => row.tenant} />`}
      </${Shown}>
      <${Pages} of=${tenants} newest="First" next="More" />
    </${Section}>`
}

const limitsOf = row => LIMITS.filter(([name]) => row[name] !== null)
  .map(([name, label]) => `${label}: ${count(row[name])}`).join('; ')

const columns = refresh => [
  { key: 'tenant', title: 'Tenant', cell: row => html`<strong>${row.tenant}</strong>` },
  { key: 'limits', title: 'Limits', cell: row => limitsOf(row) || 'those of the installation' },
  { key: 'created', title: 'Created', cell: row => html`<${Time} at=${row.createdAt} />` },
  { key: 'actions', title: 'Actions', cell: row => html`
    <${Opener} action="Limits" kind="small" scope="operator" aria-label=${`Limits of ${row.tenant}`}>
      ${close => html`<${TenantForm} tenant=${row} onSaved=${refresh} onClose=${close} />`}</${Opener}>` },
]

function TenantForm({ tenant, onSaved, onClose }) {
  const [form, setForm] = useState(() => ({
    tenant: tenant?.tenant ?? '', ...Object.fromEntries(LIMITS.map(([name]) => [name, tenant?.[name] ?? ''])),
  }))
  const set = name => value => setForm(now => ({ ...now, [name]: value }))
  const save = async () => {
    const limits = Object.fromEntries(LIMITS.map(([name]) => [name, numberOf(form[name])]))
    if (tenant) await send('PATCH', `/tenants/${encodeURIComponent(tenant.tenant)}`, limits)
    else await send('POST', '/tenants', { tenant: form.tenant, ...limits })
    notify(`Tenant “${form.tenant}” ${tenant ? 'changed' : 'created'}.`)
    onSaved()
    onClose()
  }
  return html`
    <${FormDialog} title=${tenant ? `Limits of ${tenant.tenant}` : 'Create a tenant'}
      submit=${tenant ? 'Save' : 'Create'} onSubmit=${save} onClose=${onClose}>
      ${at => html`
        ${!tenant && html`<${Field} label="Name of the tenant" value=${form.tenant} onInput=${set('tenant')}
          error=${at('tenant')} hint="Small letters, digits and dashes." />`}
        <div class="filters">${LIMITS.map(([name, label]) => html`
          <${Field} key=${name} label=${label} inputmode="decimal" value=${form[name]}
            onInput=${set(name)} error=${at(name)} />`)}</div>`}
    </${FormDialog}>`
}
