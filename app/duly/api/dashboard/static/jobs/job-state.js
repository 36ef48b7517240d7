import { get, getText } from '../lib/api.js'
import { memberTexts } from '../lib/json.js'
import { useJobEvents, usePolled } from '../lib/live.js'
import { html, useEffect, useState } from '../lib/preact.js'
import { hasEnded } from './job-changes.js'
import { useTogether } from './live-jobs.js'
import { useChanged } from './pages-of.js'

const POLL_SECONDS = 10

/**
 * Reads a job and its reason, again after each of its events. `texts` holds the exact JSON of the members of the job.
 *
 * Returns {job, texts, why, error, refresh, follow}: `follow` is to be rendered, and follows the job's stream.
 */
export function useJob(jobId) {
  const path = `/jobs/${encodeURIComponent(jobId)}`
  const [round, setRound] = useState(0)
  const read = usePolled(async signal => {
    const text = await getText(path, {}, { signal })
    return { job: JSON.parse(text), texts: memberTexts(text) }
  }, 0, [jobId])
  const job = read.data?.job
  const why = useReason(path, job, read)
  const ended = job && hasEnded(job.status)
  // A stream ends with the job. After a retry, another one begins.
  useChanged(ended, () => { if (ended === false) setRound(before => before + 1) })
  const followed = job && !ended
  return {
    ...read.data,
    why,
    error: read.error,
    refresh: read.refresh,
    follow: followed ? html`<${Follow} key=${round} jobId=${jobId} onChange=${read.refresh} />` : null,
  }
}

/**
 * Returns why the job is in its state. It is small and polled, so that a change is found which no stream reports, such
 * as a retry after the end, and the job, which may be large, is not.
 */
function useReason(path, job, read) {
  const { data, refresh } = usePolled(signal => get(`${path}/why`, {}, { signal }), POLL_SECONDS, [path])
  useChanged(job?.sequence, refresh)
  useEffect(() => {
    if (data && (read.error || (job && data.status !== job.status))) read.refresh()
  }, [data])
  return data
}

function Follow({ jobId, onChange }) {
  const changed = useTogether(onChange)
  const state = useJobEvents({ jobId }, changed)
  useEffect(() => { if (state === 'live') onChange() }, [state])
  return null
}
