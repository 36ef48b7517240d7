import { html, useEffect, useMemo, useRef, useState } from '../lib/preact.js'
import { absolute, count } from '../lib/format.js'
import { theme } from '../lib/theme.js'

const HEIGHT = 170
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })

/**
 * A plot over time.
 *
 * `times`: seconds since 1970. `series`: [{label, values, tone}], each with a value or null per time; `tone` names a
 * colour: "in", "out", "good", "bad", "warn" or "calm". `format` makes the text of a value, `least` is the least height
 * of the axis. `label` says what is shown; a sentence with the newest and the largest values is its text alternative. The legend has the values under the
 * pointer, or the newest.
 */
export function Plot({ times, series, label, format = plain, least = 1 }) {
  const box = useRef(null)
  const [at, setAt] = useState(null)
  const [failed, setFailed] = useState(false)
  const colours = theme.use()
  const summary = useMemo(() => summaryOf(series, format), [series])
  useEffect(() => {
    let plot, gone = false
    draw(box.current, { times, series, format, least, setAt })
      .then(made => { plot = made; if (gone) plot.destroy() }, () => setFailed(true))
    return () => { gone = true; plot?.destroy() }
  }, [series.map(each => `${each.label} ${each.tone}`).join(), colours])
  useEffect(() => { box.current.plot?.setData(dataOf(times, series)) }, [times, series])
  useEffect(() => {
    const observer = new ResizeObserver(() => box.current?.plot?.setSize(sizeOf(box.current)))
    observer.observe(box.current)
    return () => observer.disconnect()
  }, [])
  return html`
    <figure class="plot">
      <figcaption>${label} ${at !== null && times[at] && html`<span class="hint">${absolute(times[at] * 1000)}</span>`}
      </figcaption>
      <${Legend} series=${series} at=${at ?? times.length - 1} format=${format} />
      <div class="plot-box" ref=${box} role="img" aria-label=${`${label}. ${summary}`}></div>
      ${failed && html`<p class="hint">${summary}</p>`}
    </figure>`
}

const Legend = ({ series, at, format }) => html`
  <ul class="legend">${series.map(({ label, tone, values }) => html`
    <li key=${label}><span class=${`swatch ${tone}`} aria-hidden="true"></span>${label}
      <strong>${values[at] === null || values[at] === undefined ? '–' : format(values[at])}</strong></li>`)}
  </ul>`

const plain = value => count(value < 1000 ? Number(value.toPrecision(3)) : Math.round(value))
const sizeOf = element => ({ width: Math.max(200, element.clientWidth), height: HEIGHT })
const dataOf = (times, series) => [times, ...series.map(each => each.values)]

/** Values between two gaps, which no line would show: uPlot draws them as points. */
export function alone(plot, number) {
  const values = plot.data[number]
  const found = values.flatMap((value, at) => isGap(values[at - 1]) && isGap(values[at + 1]) && !isGap(value) ? [at] : [])
  return found.length ? found : null
}

const isGap = value => value === null || value === undefined

async function draw(element, { times, series, format, least, setAt }) {
  const { default: UPlot } = await import('../vendor/uplot.js')
  const style = getComputedStyle(document.documentElement)
  const colour = name => style.getPropertyValue(`--${name}`).trim()
  const axis = { stroke: colour('muted'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false } }
  const plot = new UPlot({
    ...sizeOf(element),
    legend: { show: false },
    cursor: { drag: { setScale: false }, points: { size: 6 } },
    hooks: { setCursor: [({ cursor }) => setAt(cursor.idx ?? null)] },
    scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 0, least) * 1.08] } },
    axes: [
      { ...axis, size: 28, values: (_, ticks) => ticks.map(tick => CLOCK.format(tick * 1000)) },
      { ...axis, size: 72, values: (_, ticks) => ticks.map(format) },
    ],
    series: [{}, ...series.map(({ label, tone }) => ({
      label, stroke: colour(`plot-${tone}`), width: 2, points: { show: false, size: 6, filter: alone },
    }))],
  }, dataOf(times, series), element)
  element.plot = plot
  return { destroy() { plot.destroy(); if (element.plot === plot) element.plot = null } }
}

function summaryOf(series, format) {
  const texts = series.map(({ label, values }) => {
    const known = values.filter(value => !isGap(value))
    if (!known.length) return `${label}: no data.`
    return `${label}: ${format(known.at(-1))}, at most ${format(Math.max(...known))}.`
  })
  return texts.join(' ')
}
