import { Age, Duration, ErrorNotice, Loading, Page, Pager, Status, Table } from '../components.js'
import { BatchBar } from '../jobs/batch-parts.js'
import { get } from '../lib/api.js'
import { count } from '../lib/format.js'
import { usePolled } from '../lib/live.js'
import { html } from '../lib/preact.js'
import { setQuery } from '../lib/router.js'

const POLL_SECONDS = 3
const COLUMNS = [
  { key: 'status', title: 'Status', cell: batch => html`<${Status} value=${batch.status} />` },
  { key: 'name', title: 'Batch', cell: batch => html`
    <a href=${`/ui/batches/${batch.batchId}`}><bdi>${batch.name ?? `…${batch.batchId.slice(-12)}`}</bdi></a>` },
  { key: 'progress', title: 'Ended', cell: batch => html`<${BatchBar} batch=${batch} />` },
  { key: 'total', title: 'Jobs', numeric: true, cell: batch => count(batch.total) },
  { key: 'failed', title: 'Failed', numeric: true, cell: batch => count(batch.failed) },
  { key: 'createdAt', title: 'Created', cell: batch => html`<${Age} at=${batch.createdAt} />` },
  { key: 'took', title: 'Time', numeric: true, cell: batch => html`
    <${Duration} from=${batch.createdAt} to=${batch.completedAt} />` },
]

export default function Batches({ query }) {
  const cursor = query.get('cursor') ?? undefined
  const { data, error, loading, refresh } = usePolled(
    signal => get('/batches', { cursor }, { signal }), POLL_SECONDS, [cursor],
  )
  return html`
    <${Page} title="Batches">
      <section class="section" aria-label="Batches">
        <${ErrorNotice} error=${error} onRetry=${refresh} />
        ${loading && html`<${Loading} />`}
        ${data && html`<${Table} columns=${COLUMNS} rows=${data.items} rowKey=${batch => batch.batchId}
          caption="Batches, newest first" empty="No batch was submitted yet." />`}
        <${Pager} onNewest=${cursor ? () => setQuery({}) : null}
          onNext=${data?.nextCursor ? () => setQuery({ cursor: data.nextCursor }) : null} />
      </section>
    </${Page}>`
}
