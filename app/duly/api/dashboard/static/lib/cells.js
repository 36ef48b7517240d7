// Cells that are away: what they have is missing from the view.
import { store } from './store.js'

// By the path whose newest response lacked them, until one is complete or the view changes.
const missing = store({})

/** Notes the cells that a response lacks: `away` is the text of its header, such as "1, 3", or null. */
export function noteCells(path, away) {
  const before = missing.get()[path] ?? ''
  if (before !== (away ?? '')) missing.set({ ...missing.get(), [path]: away ?? '' })
}

export const forgetCells = () => missing.set({})

/** Returns the numbers of the cells that the view lacks, in order. */
export function useMissingCells() {
  const texts = Object.values(missing.use()).filter(Boolean)
  const numbers = texts.flatMap(text => text.split(', ').map(Number))
  return [...new Set(numbers)].sort((one, other) => one - other)
}
