import { ErrorNotice, Loading, Page, Section } from '../components.js'
import { get } from '../lib/api.js'
import { count } from '../lib/format.js'
import { usePolled } from '../lib/live.js'
import { html } from '../lib/preact.js'
import { NodesTable } from '../overview/nodes-table.js'

export default function Nodes() {
  const { data, error, refresh } = usePolled(signal => get('/nodes', {}, { signal }), 5)
  return html`
    <${Page} title="Nodes" lead="The running processes of the service. They serve all tenants.">
      <${ErrorNotice} error=${error} onRetry=${refresh} />
      ${data ? html`<${Shown} nodes=${data.items} />` : !error && html`<${Loading} />`}
    </${Page}>`
}

function Shown({ nodes }) {
  const workers = nodes.filter(node => node.roles.includes('worker'))
  const sum = name => workers.reduce((total, node) => total + node[name], 0)
  return html`<${Section} title=${`${count(sum('busySlots'))} of ${count(sum('slots'))} slots are in use`}>
    <${NodesTable} nodes=${nodes} /></${Section}>`
}
