import { get } from '../lib/api.js'
import { useJobEvents, usePolled } from '../lib/live.js'
import { useEffect, useReducer, useRef, useState } from '../lib/preact.js'
import { streamFilterOf } from './filter.js'
import { changed, NO_ROWS } from './job-changes.js'

export const LIMIT = 50
const POLL_SECONDS = 10
// Frames are applied together: a busy service sends thousands in a second.
const APPLY_MILLISECONDS = 250

/**
 * Lists the jobs of a filter from a cursor on, and keeps the rows current without moving them.
 *
 * Returns {jobs, newer, next, error, loading, reload}: `newer` is the number of jobs that match and are not shown,
 * `next` the cursor of the next page, and `reload` shows the newest state.
 */
export function useLiveJobs(filter, { cursor, limit = LIMIT } = {}) {
  const [round, setRound] = useState(0)
  const [list, change] = useReducer(changed, NO_ROWS)
  const wanted = JSON.stringify([filter, cursor, limit])
  const key = `${wanted} ${round}`
  const newest = !cursor
  const page = usePolled(async signal => {
    change({ page: await get('/jobs', { ...filter, cursor, limit }, { signal }), key, newest })
    return key
  }, POLL_SECONDS, [key])
  const received = useTogether(frames => {
    change({ frames, statuses: filter.status ?? [], grows: newest && !isPast(filter.createdBefore) })
  })
  const state = useJobEvents(streamFilterOf(whole(filter)), received)
  // What happened between the first read and the first frame is read once the stream is open.
  useEffect(() => { if (state === 'live') page.refresh() }, [state])
  // While a list is read again, its rows stay.
  const shown = Boolean(list.key?.startsWith(`${wanted} `))
  return {
    jobs: shown ? list.order.map(jobId => list.rows.get(jobId)) : undefined,
    newer: shown ? list.newer.size : 0,
    next: shown ? list.next : null,
    error: page.error,
    loading: !shown && !page.error,
    reload: () => setRound(before => before + 1),
  }
}

const whole = filter => ({ type: [], queue: [], batchId: [], label: [], parentId: [], ...filter })
const isPast = times => Boolean(times?.length) && new Date(times[0]) < new Date()

/** Returns a function whose arguments are collected and passed on together. */
export function useTogether(apply) {
  const latest = useRef(apply)
  latest.current = apply
  const waiting = useRef({ items: [], timer: null })
  useEffect(() => () => clearTimeout(waiting.current.timer), [])
  return item => {
    const { items, timer } = waiting.current
    items.push(item)
    if (timer) return
    waiting.current.timer = setTimeout(() => {
      const taken = waiting.current.items
      waiting.current = { items: [], timer: null }
      latest.current(taken)
    }, APPLY_MILLISECONDS)
  }
}
