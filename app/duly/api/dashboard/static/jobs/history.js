// A job's events in words, and its attempts as they follow from them.
import { absolute } from '../lib/format.js'

const quoted = names => names.map(name => `“${name}”`).join(', ')
const failure = error => [error?.message, error?.code && `(${error.code})`].filter(Boolean).join(' ')
const cause = (words, error) => failure(error) ? `${words}: ${failure(error)}` : `${words}.`

const REQUEUED = {
  retried: ({ fromStep }) => fromStep ? `Retried from the step “${fromStep}”.` : 'Retried, with all attempts.',
  merged: () => 'Parameters replaced by a later submission with the same unique key.',
  repaired: () => 'Placed again by a repair.',
}
const RESUMED = {
  signal: ({ signal }) => `Resumed by the signal “${signal}”.`,
  timer: () => 'Resumed: the time has come.',
  timeout: () => 'Resumed: the signal did not arrive in time.',
  children: () => 'Resumed: its child jobs have ended.',
}

function parked({ signals = [], until, children }) {
  if (children) return `Parked until ${children} child ${children === 1 ? 'job has' : 'jobs have'} ended.`
  const limit = until ? ` until ${absolute(until)}` : ''
  return signals.length ? `Parked for the signal ${quoted(signals)}${limit}.` : `Parked${limit}.`
}

const WORDS = {
  JobSubmitted: ({ queue }) => `Submitted to the queue “${queue ?? 'default'}”.`,
  JobStarted: ({ attempt }) => `Attempt ${attempt} started.`,
  JobProgressed: ({ progress, message }) => `Progress ${progress ?? '–'} %${message ? `: ${message}` : '.'}`,
  JobRetryScheduled: ({ attempt, error }) => cause(`Attempt ${attempt} failed, and a retry follows`, error),
  JobLeaseExpired: ({ attempt, error }) => cause(`Attempt ${attempt} lost its worker`, error),
  JobCancelRequested: () => 'Cancellation requested.',
  JobRequeued: data => (REQUEUED[data.reason] ?? (() => 'Returned to its queue.'))(data),
  JobStepCompleted: ({ step, attempts }) =>
    `Step “${step}” completed${attempts > 1 ? ` after ${attempts} tries` : ''}.`,
  JobParked: parked,
  JobResumed: data => (RESUMED[data.reason] ?? (() => 'Resumed.'))(data),
  JobSignalled: ({ signal }) => `Signal “${signal}” received.`,
  JobCompensating: ({ end, steps }) =>
    `Compensation begins, because the job ${end === 'cancelled' ? 'was cancelled' : 'failed'}: ${quoted(steps ?? [])}.`,
  JobStepCompensated: ({ step }) => `Step “${step}” compensated.`,
  JobHeld: ({ error }) => cause('Held for a retry by hand: all attempts are used up', error),
  JobCompleted: () => 'Completed.',
  JobFailed: ({ error }) => cause('Failed', error),
  JobCancelled: ({ error }) => cause('Cancelled', error),
}
const TONES = {
  JobStarted: 'busy', JobCompleted: 'good', JobFailed: 'bad', JobRetryScheduled: 'warn', JobLeaseExpired: 'warn',
  JobHeld: 'warn', JobCompensating: 'warn', JobStepCompleted: 'good', JobCancelRequested: 'warn',
}

/** Returns an event in a sentence. */
export const wordsOf = ({ eventType, data }) => WORDS[eventType]?.(data) ?? eventType
export const toneOf = ({ eventType }) => TONES[eventType] ?? 'calm'

/** Returns the entries of a timeline: consecutive reports of progress are one entry, which shows the newest. */
export function entriesOf(items) {
  const entries = []
  for (const { value: event, text } of items) {
    const before = entries.at(-1)
    if (event.eventType === 'JobProgressed' && before?.event.eventType === 'JobProgressed') {
      Object.assign(before, { event, text, reports: before.reports + 1 })
    } else {
      entries.push({ event, text, reports: 1, first: event.sequence })
    }
  }
  return entries
}

const ENDS = {
  JobCompleted: ['completed', 'good'], JobFailed: ['failed', 'bad'], JobCancelled: ['cancelled', 'calm'],
  JobRetryScheduled: ['failed', 'bad'], JobLeaseExpired: ['worker lost', 'bad'], JobHeld: ['failed', 'bad'],
  JobRequeued: ['returned', 'calm'], JobParked: ['parked', 'calm'], JobResumed: ['parked', 'calm'],
  JobCompensating: ['failed', 'bad'],
}

/** Returns the runs of a job's handler: {number, source, from, to, outcome, tone}. A parked attempt has several. */
export function runsOf(events) {
  const runs = []
  let open = null
  for (const { eventType, occurredAt, data, metadata } of events) {
    if (eventType === 'JobStarted') {
      const { source } = metadata
      open = { number: data.attempt, source, from: occurredAt, to: null, outcome: 'running', tone: 'busy' }
      runs.push(open)
    } else if (open && ENDS[eventType]) {
      const [outcome, tone] = ENDS[eventType]
      const ended = eventType === 'JobCompensating' && data.end === 'cancelled' ? ENDS.JobCancelled : [outcome, tone]
      Object.assign(open, { to: occurredAt, outcome: ended[0], tone: ended[1] })
      open = null
    }
  }
  return runs
}
