import { html, useEffect, useRef, useState } from '../lib/preact.js'

/**
 * A table. On a narrow screen each row becomes a card, whose lines name their columns; the roles keep it a table for
 * screen readers, which the style of a card would take away.
 *
 * `columns`: [{key, title, cell: row => …, numeric}]; without `cell`, the member `key` of the row is shown.
 * `rowKey`: row => key. `empty`: what to show without rows. `caption`: says what the rows are, for screen readers.
 */
export function Table({ columns, rows, rowKey, empty = 'Nothing here.', caption }) {
  if (!rows?.length) return html`<p class="empty">${empty}</p>`
  return html`
    <${ScrollBox} label=${caption}>
      <table role="table">
        <caption class="visually-hidden">${caption}</caption>
        <thead role="rowgroup">
          <tr role="row">${columns.map(column => html`
            <th scope="col" role="columnheader" key=${column.key} class=${column.numeric ? 'numeric' : ''}>${column.title}</th>`)}
          </tr>
        </thead>
        <tbody role="rowgroup">
          ${rows.map(row => html`<tr role="row" key=${rowKey(row)}>${columns.map(column => cell(column, row))}</tr>`)}
        </tbody>
      </table>
    </${ScrollBox}>`
}

/** A box that scrolls sideways where its content is wider. Then the keyboard reaches it, so that it can be scrolled. */
function ScrollBox({ label, children }) {
  const box = useRef(null)
  const [scrolls, setScrolls] = useState(false)
  useEffect(() => {
    const observer = new ResizeObserver(() => setScrolls(box.current?.scrollWidth > box.current?.clientWidth))
    observer.observe(box.current)
    observer.observe(box.current.firstElementChild)
    return () => observer.disconnect()
  }, [])
  const reached = scrolls ? { tabindex: '0', role: 'group', 'aria-label': label } : {}
  return html`<div class="table-box" ref=${box} ...${reached}>${children}</div>`
}

function cell(column, row) {
  const content = column.cell ? column.cell(row) : row[column.key]
  const title = typeof column.title === 'string' ? column.title : ''
  return html`<td role="cell" key=${column.key} data-title=${title} class=${column.numeric ? 'numeric' : ''}>
    <span class="cell">${content ?? '–'}</span></td>`
}

/** Buttons of a list in pages. `onNewest` and `onNext` are null where there is nothing to show. */
export function Pager({ onNewest, onNext, newest = 'Newest', next = 'Older' }) {
  if (!onNewest && !onNext) return null
  return html`
    <nav class="pager" aria-label="Pages">
      <button type="button" class="button" disabled=${!onNewest} onClick=${onNewest}>« ${newest}</button>
      <button type="button" class="button" disabled=${!onNext} onClick=${onNext}>${next} ›</button>
    </nav>`
}
