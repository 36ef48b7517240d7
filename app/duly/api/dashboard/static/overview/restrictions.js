// What keeps jobs from being started: pauses, limits, open circuit breakers, missing workers, full slots.
import { Status } from '../components.js'
import { get } from '../lib/api.js'
import { absolute, count, plural } from '../lib/format.js'
import { html } from '../lib/preact.js'

// Of the queues and types with most jobs; the views of queues and types show all.
const MOST_LOOKED_AT = 20

/** Reads what restricts the jobs of these queues now: [{key, tone, text, href}]. */
export async function readRestrictions(queues, nodes, signal) {
  const waiting = queues.filter(queue => queue.depth > 0).sort((one, other) => other.depth - one.depth)
  const [limits, types] = await Promise.all([
    limitsOf(waiting.filter(queue => !queue.paused).slice(0, MOST_LOOKED_AT), signal), typesOf(signal),
  ])
  return [
    ...queues.filter(queue => queue.paused).map(paused), ...limits, ...types,
    ...slots(nodes, waiting), ...held(queues),
  ]
}

const paused = queue => ({
  key: `paused ${queue.queue}`, tone: queue.depth ? 'warn' : 'calm', state: 'paused', href: '/ui/queues',
  text: `Queue ${queue.queue} is paused since ${absolute(queue.pausedAt)}; ${plural(queue.depth, 'job')} `
    + `${queue.depth === 1 ? 'waits' : 'wait'}.`,
})

async function limitsOf(queues, signal) {
  const found = await Promise.all(queues.map(async queue =>
    [queue, await get(`/queues/${encodeURIComponent(queue.queue)}/limits`, {}, { signal }).catch(() => null)]))
  return found.flatMap(([{ queue, running, depth }, limits]) => {
    const texts = []
    if (limits?.concurrency && running >= limits.concurrency) texts.push(`runs ${count(running)} jobs, its limit`)
    if (limits?.rate) texts.push(`starts at most ${plural(limits.rate.count, 'job')} per ${limits.rate.seconds} s`)
    return texts.map(text => ({
      key: `${queue} ${text}`, tone: 'warn', state: 'limited', href: '/ui/queues',
      text: `Queue ${queue} ${text}; ${plural(depth, 'job')} ${depth === 1 ? 'waits' : 'wait'}.`,
    }))
  })
}

async function typesOf(signal) {
  const { items } = await get('/job-types', { limit: 200 }, { signal })
  const open = items.filter(({ breaker }) => breaker && breaker.state !== 'closed')
  const idle = items.filter(({ workers }) => workers === 0).slice(0, MOST_LOOKED_AT)
  const waiting = await Promise.all(idle.map(({ type }) =>
    get('/jobs', { type, status: 'pending', limit: 1 }, { signal }).then(page => page.items.length > 0)))
  return [
    ...open.map(({ type, breaker }) => ({
      key: `breaker ${type}`, tone: 'bad', state: `circuit ${breaker.state}`, href: '/ui/types',
      text: `Jobs of the type ${type} failed ${breaker.failures} times in a row`
        + `${breaker.code ? ` (${breaker.code})` : ''}; `
        + (breaker.openUntil ? `none starts until ${absolute(breaker.openUntil)}.` : 'one at a time is tried.'),
    })),
    ...idle.filter((_, index) => waiting[index]).map(({ type }) => ({
      key: `worker ${type}`, tone: 'bad', state: 'no worker', href: `/ui/jobs?type=${encodeURIComponent(type)}&status=pending`,
      text: `No live worker runs jobs of the type ${type}, and jobs wait.`,
    })),
  ]
}

function slots(nodes, waiting) {
  const workers = nodes.filter(node => node.roles.includes('worker') && node.state !== 'late')
  const late = nodes.filter(node => node.state === 'late').map(node => ({
    key: `late ${node.nodeId}`, tone: 'bad', state: 'late', href: '/ui/nodes',
    text: `Node ${node.name} sends no heartbeats; its jobs run elsewhere once its lease has expired.`,
  }))
  const full = workers.length > 0 && workers.every(node => node.busySlots >= node.slots)
  return full && waiting.length ? [...late, {
    key: 'slots', tone: 'warn', state: 'slots in use', href: '/ui/nodes',
    text: `All ${plural(workers.reduce((sum, node) => sum + node.slots, 0), 'slot')} are in use, and jobs wait.`,
  }] : late
}

function held(queues) {
  const number = queues.reduce((sum, queue) => sum + (queue.held ?? 0), 0)
  return number ? [{
    key: 'held', tone: 'warn', state: 'held', href: '/ui/jobs?status=pending',
    text: `${plural(number, 'job')} used up all attempts and ${number === 1 ? 'is' : 'are'} held for a retry by hand.`,
  }] : []
}

/** The list of restrictions, each with a link to the view that changes it. */
export function Restrictions({ items }) {
  if (!items.length) return html`<p class="empty">Nothing holds jobs back.</p>`
  return html`<ul class="plain-list">${items.map(({ key, tone, state, href, text }) => html`
    <li key=${key}><${Status} value=${state} tone=${tone} /> <a href=${href}>${text}</a></li>`)}</ul>`
}
