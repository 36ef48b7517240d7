// The path prefix under which a proxy serves Duly, such as /duly; empty without one.
export const BASE = new URL(import.meta.url).pathname.replace(/\/ui\/assets\/.*$/, '')

/** Returns an address of the service, such as /ui/jobs, below the prefix. */
export const below = path => BASE + path
