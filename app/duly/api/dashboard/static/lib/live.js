// Live data: the event stream, which resumes after a cut or a restart of the service, and polling.
import { address } from './api.js'
import { noteCells } from './cells.js'
import { useEffect, useRef, useState } from './preact.js'
import { loadSession } from './session.js'
import { store } from './store.js'

const FRAMES = [
  'job_submitted', 'job_started', 'job_progress', 'job_retrying', 'job_cancel_requested', 'job_completed', 'job_failed',
  'job_cancelled', 'job_step_completed', 'job_parked', 'job_resumed', 'job_signalled', 'job_compensating',
  'job_step_compensated', 'job_held',
]
const ENDS = new Set(['job_completed', 'job_failed', 'job_cancelled'])
const LONGEST_WAIT = 15_000
// A hidden page gives its connection back: a browser opens only six to a host.
const HIDDEN_FOR = 30_000

/** State of the newest stream of the page, which its header shows: null, "connecting", "live" or "reconnecting". */
export const liveState = store(null)

/**
 * Follows events, each once and in order, also over a restart of the service.
 *
 * `filter` is {jobId} for one job, or {type, queue, batchId, label} with values or lists; null follows nothing.
 * Calls `onEvent(data)` with the data of each frame. Returns "connecting", "live", "reconnecting" or "ended".
 */
export function useJobEvents(filter, onEvent) {
  const [state, setState] = useState('connecting')
  const latest = useRef(onEvent)
  latest.current = onEvent
  const wanted = filter && JSON.stringify(filter)
  useEffect(() => {
    if (!wanted) return undefined
    const report = next => { setState(next); liveState.set(next) }
    const stop = follow(JSON.parse(wanted), data => latest.current(data), report)
    return () => { stop(); liveState.set(null) }
  }, [wanted])
  return state
}

function follow({ jobId, ...properties }, onEvent, report) {
  const path = jobId ? `/jobs/${encodeURIComponent(jobId)}/events/stream` : '/events/stream'
  const cellsAway = new Set()
  let source, timer, hiding, lastEventId, ended = false, failures = 0

  function open() {
    clearTimeout(timer)
    report(failures || lastEventId !== undefined ? 'reconnecting' : 'connecting')
    source = new EventSource(address(path, { ...properties, lastEventId }))
    source.onopen = () => { failures = 0; report('live') }
    source.onerror = broken
    source.addEventListener('position', frame => { lastEventId = frame.lastEventId })
    source.addEventListener('overflow', () => {})
    source.addEventListener('duly.cell_away', frame => cellChanged(JSON.parse(frame.data).cell, true))
    source.addEventListener('duly.cell_back', frame => cellChanged(JSON.parse(frame.data).cell, false))
    for (const name of FRAMES) source.addEventListener(name, received)
  }

  function cellChanged(cell, away) {
    if (away) cellsAway.add(cell)
    else cellsAway.delete(cell)
    noteCells(path, [...cellsAway].join(', '))
  }

  function received(frame) {
    lastEventId = frame.lastEventId
    ended = Boolean(jobId) && ENDS.has(frame.type)
    onEvent(JSON.parse(frame.data))
  }

  function broken() {
    if (source.readyState !== EventSource.CLOSED) return report('reconnecting')
    if (ended) return report('ended')
    report('reconnecting')
    failures += 1
    timer = setTimeout(again, Math.min(LONGEST_WAIT, 500 * 2 ** failures))
  }

  // The browser does not say why it gave up: the session may have ended.
  const again = () => loadSession().then(found => found.signedIn && open(), broken)

  function changed() {
    clearTimeout(hiding)
    if (document.hidden) hiding = setTimeout(close, HIDDEN_FOR)
    else if (source.readyState === EventSource.CLOSED && !ended) open()
  }

  function close() {
    clearTimeout(timer)
    source.close()
  }

  // The browser keeps a page that was left, with its connection, for the way back.
  const returned = () => { if (source.readyState === EventSource.CLOSED && !ended) open() }
  document.addEventListener('visibilitychange', changed)
  window.addEventListener('pagehide', close)
  window.addEventListener('pageshow', returned)
  open()
  return () => {
    document.removeEventListener('visibilitychange', changed)
    window.removeEventListener('pagehide', close)
    window.removeEventListener('pageshow', returned)
    clearTimeout(hiding)
    close()
  }
}

/**
 * Reads something again and again: `usePolled(signal => get('/queues', {}, {signal}), 5, [])`.
 *
 * Pauses while the page is hidden, never overlaps, keeps the last data after an error, and starts anew when `deps`
 * change. `seconds` 0 reads once. Returns {data, error, loading, refresh}.
 */
export function usePolled(read, seconds, deps = []) {
  const [state, setState] = useState({ data: undefined, error: null, loading: true })
  const latest = useRef(read)
  latest.current = read
  const again = useRef(() => {})
  useEffect(() => {
    const polling = poll(signal => latest.current(signal), seconds, setState)
    again.current = polling.refresh
    setState({ data: undefined, error: null, loading: true })
    return polling.stop
  }, [seconds, ...deps])
  return { ...state, refresh: () => again.current() }
}

function poll(read, seconds, setState) {
  const stopped = new AbortController()
  let timer, running = false, wanted = false

  async function step() {
    clearTimeout(timer)
    wanted = running
    if (running) return
    running = true
    try {
      const data = await read(stopped.signal)
      if (!stopped.signal.aborted) setState({ data, error: null, loading: false })
    } catch (error) {
      if (!stopped.signal.aborted) setState(before => ({ ...before, error, loading: false }))
    }
    running = false
    if (stopped.signal.aborted) return
    if (wanted) step()
    else if (seconds) timer = setTimeout(() => document.hidden || step(), seconds * 1000)
  }

  const shown = () => { if (seconds && !document.hidden) step() }
  document.addEventListener('visibilitychange', shown)
  step()
  return {
    refresh: step,
    stop() {
      document.removeEventListener('visibilitychange', shown)
      clearTimeout(timer)
      stopped.abort()
    },
  }
}
