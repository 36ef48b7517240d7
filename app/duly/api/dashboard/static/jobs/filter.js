// Filters of the job list, as they are in the query of the view and of the API.
export const STATUSES = ['pending', 'running', 'completed', 'failed', 'cancelled']
/** Filters by their names in the API, with the words of the view. */
export const NAMES = {
  status: 'status', type: 'type', queue: 'queue', label: 'label', batchId: 'batch', parentId: 'parent',
  createdAfter: 'created from', createdBefore: 'created before',
}
const SINGLE = new Set(['createdAfter', 'createdBefore'])
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Returns the filter in a query: each name with its values. */
export const filterOf = query => Object.fromEntries(Object.keys(NAMES).map(name => [name, query.getAll(name)]))

export const isEmpty = filter => Object.values(filter).every(values => !values.length)

/** Returns the filter with another value; a time replaces the one before. */
export function added(filter, name, value) {
  if (SINGLE.has(name)) return { ...filter, [name]: [value] }
  return filter[name].includes(value) ? filter : { ...filter, [name]: [...filter[name], value] }
}

export const without = (filter, name, value) => ({ ...filter, [name]: filter[name].filter(each => each !== value) })

/** Returns the filters, apart from the status, as [name, value] pairs. */
export const chosen = filter =>
  Object.entries(filter).flatMap(([name, values]) => name === 'status' ? [] : values.map(value => [name, value]))

/** Returns the members of a filter that the stream of all jobs has; null if it cannot be followed. */
export const streamFilterOf = ({ type, queue, batchId, label, parentId }) =>
  parentId.length ? null : { type, queue, batchId, label }

/** Returns a query string with a filter, such as "?status=failed"; empty without one. */
export function queryOf(filter, others = {}) {
  const query = new URLSearchParams()
  for (const [name, values] of Object.entries({ ...filter, ...others })) {
    for (const value of [values].flat()) query.append(name, value)
  }
  const text = query.toString()
  return text && `?${text}`
}

export const isJobId = text => UUID.test(text.trim())
