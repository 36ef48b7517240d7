// Data that a view reads again and again: one resource, or a list page by page.
import { ErrorNotice, Loading, Pager } from '../components.js'
import { get } from '../lib/api.js'
import { usePolled } from '../lib/live.js'
import { html, useEffect, useState } from '../lib/preact.js'

/** Reads a resource every `seconds`. Returns {data, error, loading, refresh}. */
export const useResource = (path, params = {}, seconds = 10) =>
  usePolled(signal => get(path, params, { signal }), seconds, [path, JSON.stringify(params)])

/**
 * Reads a list page by page; its first page again every `seconds`. `cursor` is null on the first page, and
 * `turn(cursor)` shows another one. Returns what `useResource` does, and these two.
 */
export function usePages(path, params = {}, seconds = 10) {
  const [cursor, turn] = useState(null)
  const filter = JSON.stringify(params)
  useEffect(() => turn(null), [path, filter])
  return { ...useResource(path, { ...params, cursor }, cursor ? 0 : seconds), cursor, turn }
}

/** Shows the result of `useResource` or `usePages`: `children(data)`, and errors above it. */
export function Shown({ of, what, children }) {
  if (of.data === undefined) {
    if (of.error) return html`<${ErrorNotice} error=${of.error} onRetry=${of.refresh} />`
    return html`<${Loading} what=${what} />`
  }
  return html`<${ErrorNotice} error=${of.error} />${children(of.data)}`
}

/** Buttons of a list that `usePages` reads. */
export function Pages({ of, ...texts }) {
  const next = of.data?.nextCursor
  return html`<${Pager} ...${texts} onNewest=${of.cursor ? () => of.turn(null) : null}
    onNext=${next ? () => of.turn(next) : null} />`
}
