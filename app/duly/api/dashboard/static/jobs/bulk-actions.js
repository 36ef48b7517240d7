import { Confirm, notify } from '../components.js'
import { send } from '../lib/api.js'
import { plural } from '../lib/format.js'
import { html } from '../lib/preact.js'
import { isEmpty, queryOf } from './filter.js'

const ACTIONS = {
  retry: {
    statuses: ['failed', 'cancelled'],
    default: ['failed'],
    title: 'Retry the matching jobs?',
    effect: 'Each returns to its queue with all its attempts. Jobs whose unique key is taken are left out.',
    done: ({ retried }) => `${plural(retried, 'job')} retried.`,
    action: 'Retry all',
  },
  cancel: {
    statuses: ['pending', 'running'],
    default: ['pending', 'running'],
    title: 'Cancel the matching jobs?',
    effect: 'Waiting jobs end at once. Running jobs are told to stop. Their child jobs are cancelled too.',
    done: ({ cancelled }) => `${plural(cancelled, 'job')} cancelled.`,
    action: 'Cancel all',
  },
}

/** Buttons that retry or cancel all jobs of a filter. The question says how many match. */
export const BulkActions = ({ filter, onDone }) =>
  html`${Object.keys(ACTIONS).map(verb => html`<${BulkAction} key=${verb} ...${{ verb, filter, onDone }} />`)}`

function BulkAction({ verb, filter, onDone }) {
  const { title, effect, done, action, ...rules } = ACTIONS[verb]
  const statuses = filter.status.length
    ? rules.statuses.filter(status => filter.status.includes(status)) : rules.default
  const path = `/jobs/${verb}`
  const wanted = { ...filter, status: statuses }
  const text = async () => {
    const found = await send('POST', path + queryOf(wanted, { dryRun: 'true' }))
    return html`<p><strong>${counted(found)}</strong> (${statuses.join(' or ')}). ${effect}</p>`
  }
  const act = async () => {
    notify(done(await send('POST', path + queryOf(wanted))))
    onDone()
  }
  // Without a filter, a cancellation would end everything: the service refuses it.
  const disabled = !statuses.length || (verb === 'cancel' && isEmpty(filter))
  return html`<${Confirm} scope="admin" kind=${verb === 'cancel' ? 'danger' : ''}
    ...${{ title, text, action, disabled, onConfirm: act }} />`
}

function counted({ count, complete }) {
  if (complete) return `${plural(count, 'job')} ${count === 1 ? 'matches' : 'match'}`
  return count ? `At least ${plural(count, 'job')} match` : 'The count stopped early, before it found a matching job'
}
