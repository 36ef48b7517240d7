import { Age, Status, Table } from '../components.js'
import { count } from '../lib/format.js'
import { html } from '../lib/preact.js'

/** The nodes with their slots. */
export function NodesTable({ nodes }) {
  const columns = [
    { key: 'name', title: 'Node', cell: node => html`<code>${node.name}</code>` },
    { key: 'state', title: 'State', cell: node => html`<${Status} value=${node.state} />` },
    { key: 'roles', title: 'Roles', cell: node => node.roles.join(', ') },
    { key: 'slots', title: 'Slots in use', cell: slotsOf },
    { key: 'version', title: 'Version' },
    { key: 'startedAt', title: 'Started', cell: node => html`<${Age} at=${node.startedAt} />` },
    { key: 'heartbeatAt', title: 'Heartbeat', cell: node => html`<${Age} at=${node.heartbeatAt} />` },
  ]
  return html`<${Table} caption="Nodes of the service" columns=${columns} rows=${nodes} rowKey=${node => node.nodeId}
    empty="No node has sent a heartbeat." />`
}

function slotsOf({ name, slots, busySlots, roles }) {
  if (!roles.includes('worker')) return '–'
  return html`<span class="progress"><progress max=${slots} value=${busySlots} aria-label=${`Slots of ${name} in use`}>
    </progress><span>${count(busySlots)} of ${count(slots)}</span></span>`
}
