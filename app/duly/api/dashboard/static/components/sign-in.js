import { html, useEffect, useState } from '../lib/preact.js'
import { signIn } from '../lib/session.js'
import { Field } from './form.js'
import { ErrorNotice } from './notices.js'

/** The page that asks for an API key. The key goes to the service once and is kept nowhere. */
export function SignIn({ ended }) {
  const [key, setKey] = useState('')
  const [error, setError] = useState(null)
  const [busy, setBusy] = useState(false)
  useEffect(() => { document.title = 'Sign in · Duly' }, [])
  const submit = async event => {
    event.preventDefault()
    setBusy(true)
    setError(null)
    try {
      await signIn(key)
    } catch (found) {
      setError(found)
      setBusy(false)
    }
  }
  return html`
    <main class="alone">
      <h1>Sign in to Duly</h1>
      ${ended && html`<p role="status">The session has ended: its key expired or was revoked.</p>`}
      <form onSubmit=${submit}>
        <${Field} label="API key" type="password" autocomplete="off" required autofocus value=${key} onInput=${setKey}
          spellcheck="false" hint="A key with the scope jobs:read is enough to look. duly keys create makes one." />
        <${ErrorNotice} error=${error} />
        <button type="submit" class="button primary" disabled=${busy || !key.trim()}>Sign in</button>
      </form>
    </main>`
}
