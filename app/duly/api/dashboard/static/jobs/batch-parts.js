import { Duration, Id, KeyValue, Progress, Section, Stat, Stats, Status, Time } from '../components.js'
import { count } from '../lib/format.js'
import { html } from '../lib/preact.js'
import { Failure } from './job-parts.js'
import { queryOf } from './filter.js'

const endedOf = ({ completed, failed, cancelled }) => completed + failed + cancelled

/** The share of a batch's jobs that have ended. */
export const BatchBar = ({ batch }) => html`
  <${Progress} label=${`Ended jobs of the batch ${batch.name ?? batch.batchId}`}
    value=${batch.total ? endedOf(batch) / batch.total * 100 : 100} />`

/** The numbers of a batch's jobs in each status, each a link to these jobs. */
export function Counts({ batch }) {
  const link = status => `/ui/jobs${queryOf({ batchId: batch.batchId, status })}`
  const stat = (label, status, tone) => html`<${Stat} label=${label} value=${count(batch[status])} href=${link(status)}
    tone=${batch[status] ? tone : undefined} />`
  return html`
    <${Stats}>
      <${Stat} label="Jobs" value=${count(batch.total)} href=${`/ui/jobs${queryOf({ batchId: batch.batchId })}`} />
      ${stat('Pending', 'pending')}${stat('Running', 'running')}${stat('Completed', 'completed')}
      ${stat('Failed', 'failed', 'bad')}${stat('Cancelled', 'cancelled', 'warn')}
    </${Stats}>`
}

/** The state of a batch and the job that follows it. */
export function BatchState({ batch }) {
  const { batchId, thenJobId, thenError, createdAt, completedAt } = batch
  return html`
    <${Section} title="State">
      <div class="actions"><${Status} value=${batch.status} /><${BatchBar} batch=${batch} /></div>
      <${KeyValue} items=${[
        ['Id', html`<${Id} value=${batchId} whole />`],
        ['Created', html`<${Time} at=${createdAt} />`],
        ['Ended', completedAt ? html`<${Time} at=${completedAt} />` : undefined],
        ['Since submission', html`<${Duration} from=${createdAt} to=${completedAt} />`],
        ['Then', thenJobId ? html`<${Id} value=${thenJobId} href=${`/ui/jobs/${thenJobId}`} />` : undefined],
      ]} />
    </${Section}>
    ${thenError && html`<${Failure} error=${thenError} title="The job that follows was refused" />`}`
}
