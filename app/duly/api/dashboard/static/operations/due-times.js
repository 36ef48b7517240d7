// Times of a time zone, as the service computes them: "2027-03-28T03:00:00+02:00".
import { Age, Table } from '../components.js'
import { html } from '../lib/preact.js'

const WEEKDAY = new Intl.DateTimeFormat('en', { weekday: 'short', timeZone: 'UTC' })
const PARTS = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(.*)$/

/** Returns {day, time, offset} of a local time; nothing is converted, so the clock of the browser has no part in it. */
export function localParts(localTime) {
  const [, date, time, offset] = PARTS.exec(localTime)
  return { day: `${WEEKDAY.format(new Date(`${date}T00:00:00Z`))} ${date}`, time, offset }
}

/** Returns the due times, each with the offset before it if the clock of the zone has changed in between. */
export function withChanges(items) {
  return items.map((item, index) => {
    const before = index ? localParts(items[index - 1].localTime).offset : null
    const local = localParts(item.localTime)
    return { ...item, ...local, changedFrom: before !== null && before !== local.offset ? before : null }
  })
}

const local = ({ time, offset, changedFrom }) => html`
  ${time} <span class="offset">${offset}</span>
  ${changedFrom !== null && html` <span class="hint">clock change: ${changedFrom} → ${offset}</span>`}`

/** The next due times in their zone, with their offsets; says where the clock changes. */
export const DueTimes = ({ items, timezone }) => html`
  <${Table} caption=${`Next due times in ${timezone}`} rows=${withChanges(items)} rowKey=${row => row.dueAt}
    empty="It is never due again." columns=${[
      { key: 'day', title: 'Day' },
      { key: 'time', title: `Time in ${timezone}`, cell: local },
      { key: 'dueAt', title: 'UTC', cell: ({ dueAt }) => html`
        <time datetime=${dueAt}>${dueAt.replace('.000Z', 'Z')}</time>` },
      { key: 'in', title: 'Due', cell: row => html`<${Age} at=${row.dueAt} />` },
    ]} />`
