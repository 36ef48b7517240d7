import { Button, Confirm, ErrorNotice, Loading, notify, Page, Section } from '../components.js'
import { BatchState, Counts } from '../jobs/batch-parts.js'
import { queryOf } from '../jobs/filter.js'
import { hasEnded } from '../jobs/job-changes.js'
import { JobTable } from '../jobs/job-table.js'
import { useLiveJobs } from '../jobs/live-jobs.js'
import { get, send } from '../lib/api.js'
import { plural } from '../lib/format.js'
import { usePolled } from '../lib/live.js'
import { html } from '../lib/preact.js'

const POLL_SECONDS = 2
const SHOWN_JOBS = 20

export default function Batch({ params: { batchId } }) {
  const path = `/batches/${encodeURIComponent(batchId)}`
  const { data: batch, error, refresh } = usePolled(signal => get(path, {}, { signal }), POLL_SECONDS, [batchId])
  if (!batch) return html`
    <${Page} title="Batch">
      ${error ? html`<${ErrorNotice} error=${error} onRetry=${refresh} />` : html`<${Loading} />`}
    </${Page}>`
  const cancel = async () => {
    await send('POST', `${path}/cancel`)
    notify('Batch cancelled.')
    refresh()
  }
  const left = batch.pending + batch.running
  const action = !hasEnded(batch.status) && html`
    <${Confirm} scope="jobs:write" title="Cancel this batch?" action="Cancel batch" onConfirm=${cancel}
      text=${html`<p>${plural(left, 'job')} of ${batch.total} did not end yet. Running jobs are told to stop. The job
        that follows is submitted nevertheless.</p>`} />`
  return html`
    <${Page} title=${batch.name ?? `Batch …${batchId.slice(-12)}`} actions=${action}>
      <${ErrorNotice} error=${error} />
      <${BatchState} batch=${batch} />
      <${Counts} batch=${batch} />
      <${Jobs} batchId=${batch.batchId} />
    </${Page}>`
}

function Jobs({ batchId }) {
  const list = useLiveJobs({ batchId: [batchId] }, { limit: SHOWN_JOBS })
  return html`
    <${Section} title="Jobs">
      <${ErrorNotice} error=${list.error} />
      ${list.newer > 0 && html`<div><${Button} onClick=${async () => list.reload()}>Show newer jobs</${Button}></div>`}
      ${list.loading ? html`<${Loading} />`
        : html`<${JobTable} jobs=${list.jobs} caption="Jobs of the batch, newest first"
          empty="No job of this batch is recorded." />`}
      ${list.next && html`<p><a href=${`/ui/jobs${queryOf({ batchId })}`}>All jobs of this batch</a></p>`}
    </${Section}>`
}
