// The difference between two values, member by member.
import { Table } from '../components.js'
import { html } from '../lib/preact.js'

const isObject = value => value !== null && typeof value === 'object' && !Array.isArray(value)

/** Returns the members of a value by their path, such as {"rate.count": 5}; those of lists are not told apart. */
export function members(value, above = '') {
  if (!isObject(value) || (above && !Object.keys(value).length)) return new Map([[above, value]])
  return new Map(Object.entries(value)
    .flatMap(([name, member]) => [...members(member, above ? `${above}.${name}` : name)]))
}

/** Returns what differs: [{path, before, after}], as JSON texts; null where there was nothing. */
export function differences(before, after) {
  const [old, present] = [before === null ? new Map() : members(before), after === null ? new Map() : members(after)]
  const texts = (found, path) => found.has(path) ? JSON.stringify(found.get(path)) : null
  return [...new Set([...old.keys(), ...present.keys()])]
    .map(path => ({ path, before: texts(old, path), after: texts(present, path) }))
    .filter(each => each.before !== each.after)
}

/** A change, as a table of the members that differ. */
export function Difference({ before, after, of }) {
  if (before === null && after === null) return html`<p class="empty">No values were recorded.</p>`
  return html`<${Table} caption=${`What changed: ${of}`} rows=${differences(before, after)} rowKey=${row => row.path}
    empty="Nothing differs." columns=${[
      { key: 'path', title: 'Member', cell: row => html`<code>${row.path || '(value)'}</code>` },
      { key: 'before', title: 'Before', cell: row => row.before !== null && html`<del>${row.before}</del>` },
      { key: 'after', title: 'After', cell: row => row.after !== null && html`<ins>${row.after}</ins>` },
    ]} />`
}
