// Times, durations and counts as text.
const ABSOLUTE = new Intl.DateTimeFormat(undefined, {
  year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit',
  timeZoneName: 'short',
})
const COUNT = new Intl.NumberFormat('en')
const UNITS = [[86_400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']]

/** Returns a time with its zone: "Jan 27, 2026, 11:00:00 AM GMT+1". */
export const absolute = at => at ? ABSOLUTE.format(new Date(at)) : ''

/** Returns the age of a time: "3 min ago", "in 2 h", "now". */
export function relative(at, now = Date.now()) {
  if (!at) return ''
  const seconds = (now - new Date(at).getTime()) / 1000
  if (Math.abs(seconds) < 1) return 'now'
  return seconds > 0 ? `${coarse(seconds)} ago` : `in ${coarse(-seconds)}`
}

function coarse(seconds) {
  const [size, unit] = UNITS.find(([each]) => seconds >= each) ?? UNITS.at(-1)
  return `${Math.floor(seconds / size)} ${unit}`
}

/** Returns a duration: "12 ms", "3.4 s", "5 min 7 s", "2 d 3 h"; empty for null. */
export function duration(milliseconds) {
  if (milliseconds === null || milliseconds === undefined || Number.isNaN(milliseconds)) return ''
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`
  const seconds = milliseconds / 1000
  if (seconds < 60) return `${Number(seconds.toFixed(1))} s`
  const at = UNITS.findIndex(([size]) => seconds >= size)
  const [[size, unit], [next, smaller]] = [UNITS[at], UNITS[at + 1]]
  const rest = Math.floor((seconds % size) / next)
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${smaller}` : ''}`
}

/** Returns the duration between two times; until now without an end. */
export const between = (from, to) => from ? duration(new Date(to ?? Date.now()) - new Date(from)) : ''

/** Returns a number with its thousands apart; a dash for null. */
export const count = number => number === null || number === undefined ? '–' : COUNT.format(number)

/** Returns "1 job", "2 jobs". */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`

/** Returns a rate: "0.2/s". */
export const rate = perSecond => perSecond === null || perSecond === undefined
  ? '–' : `${COUNT.format(Number(perSecond.toPrecision(2)))}/s`
