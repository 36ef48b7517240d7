import { Button, ErrorNotice, Loading, Needs, Section, SelectField, Time } from '../components.js'
import { memberTexts } from '../lib/json.js'
import { html, useEffect, useRef, useState } from '../lib/preact.js'
import { usePages } from './pages-of.js'

const LEVELS = ['debug', 'info', 'warning', 'error']
const TONES = { warning: 'warn', error: 'bad', debug: 'calm' }
const FOLLOW_SECONDS = 2

/** What the handler of a job logged. While the job runs, new lines appear and the box follows them. */
export function Logs({ jobId, attempts, version, running }) {
  const [level, setLevel] = useState('debug')
  const [attempt, setAttempt] = useState('')
  const [follows, setFollows] = useState(true)
  const params = { level, ...(attempt && { attempt }) }
  const path = `/jobs/${encodeURIComponent(jobId)}/logs`
  const seconds = running ? FOLLOW_SECONDS : 0
  const { items, more, error, loading, readMore } = usePages(path, { params, version, seconds })
  const numbers = Array.from({ length: attempts }, (_, index) => String(index + 1))
  const controls = html`
    <${SelectField} label="Level" value=${level} onInput=${setLevel}
      options=${LEVELS.map(each => [each, `${each} and above`])} />
    <${SelectField} label="Attempt" value=${attempt} onInput=${setAttempt} options=${[['', 'all'], ...numbers]} />
    <label class="check">
      <input type="checkbox" checked=${follows} onChange=${event => setFollows(event.target.checked)} /> Follow</label>`
  return html`
    <${Section} title="Logs">
      <div class="filters">${controls}</div>
      <${Needs} scope="jobs:payload" what="The text of log lines" />
      <${ErrorNotice} error=${error} />
      ${loading && !items.length ? html`<${Loading} />` : html`<${Lines} items=${items} follows=${follows} />`}
      ${more && html`<div><${Button} onClick=${readMore}>Read more lines</${Button}></div>`}
    </${Section}>`
}

function Lines({ items, follows }) {
  const box = useRef(null)
  useEffect(() => {
    if (follows && box.current) box.current.scrollTop = box.current.scrollHeight
  }, [items.length, follows])
  if (!items.length) return html`<p class="empty">No log lines.</p>`
  return html`
    <div class="log" ref=${box} tabindex="0" role="region" aria-label="Log lines"><ol>
      ${items.map(({ value, text }) => html`
        <${Line} key=${`${value.at} ${value.attempt} ${value.line}`} value=${value} text=${text} />`)}
    </ol></div>`
}

function Line({ value, text }) {
  const { at, level, message, attempt } = value
  const fields = memberTexts(text).fields
  return html`
    <li><span class="hint"><${Time} at=${at} /> · ${attempt}</span>
      <span class=${`level ${TONES[level] ?? ''}`}>${level}</span>
      <bdi>${message}</bdi>${fields && !['{}', 'null'].includes(fields) && html` <code>${fields}</code>`}</li>`
}
