import { useEffect, useState } from './preact.js'

/** A value that components follow: `get`, `set(value)`, and the hook `use()`, which renders again after a change. */
export function store(initial) {
  let value = initial
  const followers = new Set()
  return {
    get: () => value,
    set(next) {
      value = next
      for (const follow of [...followers]) follow(next)
    },
    use() {
      const [seen, setSeen] = useState(() => value)
      useEffect(() => {
        const follow = next => setSeen(() => next)
        followers.add(follow)
        follow(value)
        return () => followers.delete(follow)
      }, [])
      return seen
    },
  }
}
