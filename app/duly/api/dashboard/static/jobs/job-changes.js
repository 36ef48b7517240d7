// Rows of the job list, kept current by the frames of the event stream.
const STATUS_AFTER = {
  job_submitted: 'pending', job_started: 'running', job_retrying: 'pending', job_parked: 'pending',
  job_resumed: 'pending', job_held: 'pending', job_compensating: 'running', job_completed: 'completed',
  job_failed: 'failed', job_cancelled: 'cancelled',
}
const ENDED = new Set(['completed', 'failed', 'cancelled'])
/** Newer jobs are counted up to this number. */
export const MOST_NEWER = 1000

export const hasEnded = status => ENDED.has(status)

export const NO_ROWS = { key: null, order: [], rows: new Map(), newer: new Set(), next: null }

/**
 * Returns the list after a change: `{page, key, newest}` is a page that was read, `{frames, statuses, grows}` are
 * frames of the stream. Rows keep their places; jobs that have none are counted as newer.
 */
export function changed(list, change) {
  if (change.frames) return withFrames(list, change)
  return change.key === list.key ? withPage(list, change) : ofPage(change)
}

function ofPage({ page, key }) {
  return {
    key,
    order: page.items.map(job => job.jobId),
    rows: new Map(page.items.map(job => [job.jobId, job])),
    newer: new Set(),
    next: page.nextCursor,
  }
}

function withPage(list, { page, newest }) {
  const rows = new Map(list.rows), newer = new Set(list.newer)
  for (const job of page.items) {
    const shown = rows.get(job.jobId)
    if (shown && job.sequence >= shown.sequence) rows.set(job.jobId, job)
    else if (!shown && newest && (!list.order.length || job.jobId > list.order[0])) newer.add(job.jobId)
  }
  return { ...list, rows, newer }
}

function withFrames(list, { frames, statuses, grows }) {
  const rows = new Map(list.rows), newer = new Set(list.newer)
  for (const frame of frames) {
    const shown = rows.get(frame.jobId)
    if (shown) rows.set(frame.jobId, patched(shown, frame))
    else if (grows) count(newer, frame, statuses)
  }
  return { ...list, rows, newer }
}

function count(newer, { type, jobId }, statuses) {
  const status = STATUS_AFTER[type]
  if (!status) return
  // Without a filter of statuses only a submission makes a job appear.
  if (statuses.length ? statuses.includes(status) : type === 'job_submitted') {
    if (newer.size < MOST_NEWER) newer.add(jobId)
  } else if (statuses.length) {
    newer.delete(jobId)
  }
}

/** Returns a job after a frame, as far as the frame tells. */
export function patched(job, frame) {
  if (frame.sequence <= job.sequence) return job
  const next = { ...job, sequence: frame.sequence, attempt: frame.attempt ?? job.attempt }
  const status = STATUS_AFTER[frame.type]
  if (frame.type === 'job_progress') return { ...next, progress: frame.progress, progressMessage: frame.message }
  if (!status) return next
  next.compensating = !ENDED.has(status) && (frame.type === 'job_compensating' || job.compensating)
  next.status = next.compensating ? 'running' : status
  next.waitingFor = next.status === 'pending' ? waitAfter(frame) : null
  if (frame.type === 'job_started') Object.assign(next, { startedAt: frame.at, completedAt: null, progress: null })
  if (ENDED.has(status)) Object.assign(next, { completedAt: frame.at, error: frame.error ?? null })
  if (status === 'pending') next.completedAt = null
  return next
}

function waitAfter({ type, error, signals, until }) {
  if (type === 'job_held') return 'held'
  if (type === 'job_retrying') return error ? 'retry' : 'worker'
  if (type === 'job_parked') return signals?.length ? 'signal' : until ? 'timer' : null
  return 'worker'
}
