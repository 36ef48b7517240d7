import { getText } from '../lib/api.js'
import { itemTexts, memberTexts } from '../lib/json.js'
import { usePolled } from '../lib/live.js'
import { useEffect, useRef, useState } from '../lib/preact.js'

const MOST = 1000

/**
 * Reads a list of the API from its beginning, page by page, up to some thousand items. Each reading continues with the
 * page that was the last one before.
 *
 * `version`: reads again when it changes. `seconds`: also reads again after these. Returns {items, more, error,
 * loading, refresh, readMore}; an item is {value, text}, where `text` is its exact JSON.
 */
export function usePages(path, { params = {}, version, seconds = 0 } = {}) {
  const [most, setMost] = useState(MOST)
  const key = JSON.stringify([path, params])
  const kept = useRef({})
  const polled = usePolled(async signal => {
    if (kept.current.key !== key) kept.current = { key, items: [], cursor: undefined }
    return readOn(kept.current, path, { params, most, signal })
  }, seconds, [key, most])
  useChanged(version, polled.refresh)
  return {
    items: polled.data?.items ?? [],
    more: Boolean(polled.data?.more),
    error: polled.error,
    loading: polled.loading,
    refresh: polled.refresh,
    readMore: () => setMost(before => before + MOST),
  }
}

async function readOn(kept, path, { params, most, signal }) {
  for (;;) {
    const members = memberTexts(await getText(path, { ...params, limit: 200, cursor: kept.cursor }, { signal }))
    const page = itemTexts(members.items).map(text => ({ value: JSON.parse(text), text }))
    const items = [...kept.items, ...page]
    const next = JSON.parse(members.nextCursor)
    if (!next || items.length >= most) return { items, more: Boolean(next) }
    Object.assign(kept, { items, cursor: next })
  }
}

/** Calls `act` when a value changes after the first time. */
export function useChanged(value, act) {
  const before = useRef(value)
  useEffect(() => {
    if (before.current === value) return
    before.current = value
    act()
  }, [value])
}
