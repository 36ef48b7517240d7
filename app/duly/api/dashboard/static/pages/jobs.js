import { ErrorNotice, Loading, Notice, Page, Pager } from '../components.js'
import { BulkActions } from '../jobs/bulk-actions.js'
import { FilterForm } from '../jobs/filter-form.js'
import { filterOf, isEmpty } from '../jobs/filter.js'
import { MOST_NEWER } from '../jobs/job-changes.js'
import { JobTable } from '../jobs/job-table.js'
import { LIMIT, useLiveJobs } from '../jobs/live-jobs.js'
import { SubmitJob } from '../jobs/submit-job.js'
import { plural } from '../lib/format.js'
import { html } from '../lib/preact.js'
import { setQuery } from '../lib/router.js'

export default function Jobs({ query }) {
  const filter = filterOf(query), cursor = query.get('cursor') ?? undefined
  const list = useLiveJobs(filter, { cursor })
  const actions = html`
    <${BulkActions} filter=${filter} onDone=${list.reload} />
    <${SubmitJob} />`
  return html`
    <${Page} title="Jobs" actions=${actions}>
      <${FilterForm} filter=${filter} onChange=${setQuery} />
      <section class="section" aria-label="Jobs">
        <${Newer} list=${list} filter=${filter} />
        <${ErrorNotice} error=${list.error} onRetry=${list.reload} />
        ${list.loading && html`<${Loading} />`}
        ${list.jobs && html`<${Rows} list=${list} filter=${filter} />`}
        <${Pager} onNewest=${cursor ? () => setQuery(filter) : null}
          onNext=${list.next ? () => setQuery({ ...filter, cursor: list.next }) : null} />
      </section>
    </${Page}>`
}

function Newer({ list, filter }) {
  if (!list.newer) return null
  const text = filter.status.length ? plural(list.newer, 'more match', 'more matches') : plural(list.newer, 'newer job')
  const more = list.newer >= MOST_NEWER ? ' or more' : ''
  return html`<div><button type="button" class="button" onClick=${list.reload}>Show ${text}${more}</button></div>`
}

function Rows({ list, filter }) {
  const stopped = list.next && list.jobs.length < LIMIT
  const empty = isEmpty(filter) ? 'No job was submitted yet.' : 'No job matches these filters.'
  return html`
    ${(list.jobs.length > 0 || !stopped)
      && html`<${JobTable} jobs=${list.jobs} caption="Jobs, newest first" empty=${empty} />`}
    ${stopped && html`
      <${Notice}>The search stopped early, because few jobs match. “Older” continues it.</${Notice}>`}`
}
