// Times of fields of the type datetime-local, which are in the time zone of the browser.

/** Returns the time of a field in UTC: "2026-01-27T10:00:00.000Z"; empty for an empty or invalid one. */
export function isoOf(local) {
  const time = new Date(local)
  return local && !Number.isNaN(time.getTime()) ? time.toISOString() : ''
}

/** Returns a time for a field: "2026-01-27T11:00:00"; empty for an empty or invalid one. */
export function localOf(iso) {
  const time = new Date(iso)
  if (!iso || Number.isNaN(time.getTime())) return ''
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 19)
}
