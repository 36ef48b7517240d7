import { ErrorNotice, Loading, Page } from '../components.js'
import { Deliveries } from '../jobs/deliveries.js'
import { JobActions } from '../jobs/job-actions.js'
import { hasEnded } from '../jobs/job-changes.js'
import { Children, Failure, Payload, Steps, Summary } from '../jobs/job-parts.js'
import { useJob } from '../jobs/job-state.js'
import { Logs } from '../jobs/logs.js'
import { usePages } from '../jobs/pages-of.js'
import { Timeline } from '../jobs/timeline.js'
import { memberTexts } from '../lib/json.js'
import { html } from '../lib/preact.js'

export default function Job({ params: { jobId } }) {
  const { job, texts, why, error, refresh, follow } = useJob(jobId)
  if (!job) return html`
    <${Page} title="Job">
      ${error ? html`<${ErrorNotice} error=${error} onRetry=${refresh} />` : html`<${Loading} />`}
    </${Page}>`
  return html`${follow}<${Known} ...${{ job, texts, why, error, refresh }} />`
}

function Known({ job, texts, why, error, refresh }) {
  const { jobId, sequence: version } = job
  const read = usePages(`/jobs/${jobId}/steps`, { version })
  const steps = read.items.map(({ value, text }) => ({ value, result: memberTexts(text).result }))
  const values = steps.map(step => step.value)
  return html`
    <${Page} title=${`${job.type} …${jobId.slice(-12)}`}
      actions=${html`<${JobActions} job=${job} steps=${values} refresh=${refresh} />`}>
      <${ErrorNotice} error=${error} onRetry=${refresh} />
      <${Summary} job=${job} why=${why} />
      ${job.error && html`<${Failure} error=${job.error} />`}
      <${Payload} job=${job} texts=${texts} />
      <${Timeline} jobId=${jobId} version=${version} />
      <${Steps} steps=${steps} />
      <${Logs} jobId=${jobId} version=${version} attempts=${job.attempt} running=${!hasEnded(job.status)} />
      <${Deliveries} jobId=${jobId} version=${version} />
      <${Children} jobId=${jobId} />
    </${Page}>`
}
