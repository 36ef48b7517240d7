// Plots of the figures that the service keeps, for one hour or a day.
import { ErrorNotice, Loading, Plot } from '../components.js'
import { get } from '../lib/api.js'
import { duration } from '../lib/format.js'
import { usePolled } from '../lib/live.js'
import { html, useMemo } from '../lib/preact.js'

export const RANGES = { '1h': { seconds: 3600, step: 60, poll: 10 }, '24h': { seconds: 86_400, step: 300, poll: 30 } }

/** Reads the figures of a range again and again; of one queue, or of all. */
export function useFigures(range, queue) {
  const { seconds, step, poll } = RANGES[range]
  const read = signal => {
    const since = new Date(Date.now() - seconds * 1000).toISOString()
    return get('/figures', { since, step, queue }, { signal })
  }
  return usePolled(read, poll, [range, queue])
}

/** Returns the sum of a series. */
export const total = (figures, ...names) =>
  names.reduce((sum, name) => sum + (figures?.series[name] ?? []).reduce((one, other) => one + other, 0), 0)

/** All plots. The step under way is left out: it is not whole, and would look like a fall. */
export function Figures({ figures, error, onRetry }) {
  const plots = useMemo(() => figures && plotsOf(figures), [figures])
  if (!plots) return error ? html`<${ErrorNotice} error=${error} onRetry=${onRetry} />` : html`<${Loading} />`
  return html`
    ${error && html`<${ErrorNotice} error=${error} />`}
    <div class="grid">${plots.map(plot => html`<${Plot} key=${plot.label} ...${plot} />`)}</div>`
}

function plotsOf({ queue, since, stepSeconds, series }) {
  const start = Date.parse(since) / 1000
  const steps = Math.max(1, Math.min(series.submitted.length, Math.floor((Date.now() / 1000 - start) / stepSeconds)))
  const times = Array.from({ length: steps }, (_, index) => start + index * stepSeconds)
  const line = (label, tone, values) => ({ label, tone, values: values.slice(0, steps) })
  const perMinute = (label, tone, ...names) =>
    line(label, tone, series[names[0]].map((_, at) => sumAt(series, names, at) * 60 / stepSeconds))
  const plot = (label, lines, inSeconds) =>
    ({ label, times, series: lines, ...inSeconds ? { format: inTime, least: 0.1 } : {} })
  return [
    plot('Throughput, jobs a minute', [
      perMinute('Submitted', 'in', 'submitted'), perMinute('Ended', 'out', 'completed', 'failed', 'cancelled'),
    ]),
    plot('Jobs waiting and running', [line('Waiting', 'warn', series.waiting), line('Running', 'in', series.running)]),
    plot('Oldest wait', [line('Oldest job that is ready', 'warn', series.oldestWaitSeconds)], true),
    plot('Failures, a minute', [
      perMinute('Failed jobs', 'bad', 'failed'), perMinute('Attempts retried', 'warn', 'retried'),
    ]),
    plot('Wait before the start', [
      line('P50', 'calm', series.waitP50Seconds), line('P99', 'warn', series.waitP99Seconds),
    ], true),
    plot('Run time', [line('P50', 'calm', series.runP50Seconds), line('P99', 'in', series.runP99Seconds)], true),
    // Delivery attempts are counted for all queues together.
    ...queue === null ? [plot('Webhook deliveries, a minute', [
      perMinute('Succeeded', 'good', 'deliveriesSucceeded'), perMinute('Failed', 'bad', 'deliveriesFailed'),
    ])] : [],
  ]
}

const sumAt = (series, names, at) => names.reduce((sum, name) => sum + series[name][at], 0)
const inTime = seconds => duration(seconds * 1000)
