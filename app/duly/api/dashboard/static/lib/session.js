// The session of the dashboard: the tenant and the scopes of the key that signed in.
import { get, onSignedOut, send } from './api.js'
import { store } from './store.js'

const current = store(null)

/** Returns {signedIn, open, tenant, scopes, keyId, keyName, version}; null before it was read. */
export const session = () => current.get()
export const useSession = () => current.use()

/** Returns whether the key holds a scope. */
export const can = scope => Boolean(current.get()?.scopes?.includes(scope))

export async function loadSession() {
  current.set(await get('/ui/session'))
  return current.get()
}

export async function signIn(key) {
  current.set(await send('POST', '/ui/session', { key }))
}

export async function signOut() {
  await send('DELETE', '/ui/session')
  await loadSession()
}

// A 401 says that the key was revoked or has expired. The page asks for another one and then shows the same view.
onSignedOut(() => { if (current.get()?.signedIn) current.set({ ...current.get(), signedIn: false, ended: true }) })
