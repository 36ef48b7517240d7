// Exact JSON: text is laid out token by token, so that numbers keep their digits.
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g

const tokens = text => text.match(TOKEN) ?? []

/** Returns JSON text with line breaks and indentation. Numbers, texts and the order of members stay as they are. */
export function pretty(text) {
  const found = tokens(text)
  let depth = 0, out = ''
  found.forEach((token, index) => {
    const next = found[index + 1]
    if (token === '{' || token === '[') {
      depth += 1
      out += token + (next === '}' || next === ']' ? '' : line(depth))
    } else if (token === '}' || token === ']') {
      depth -= 1
      const before = found[index - 1]
      out += (before === '{' || before === '[' ? '' : line(depth)) + token
    } else if (token === ',') {
      out += token + line(depth)
    } else {
      out += token === ':' ? ': ' : token
    }
  })
  return out
}

const line = depth => `\n${'  '.repeat(depth)}`

/** Returns the exact text of a member of a JSON object, such as `member(text, 'result')`; null without it. */
export function member(text, name) {
  const members = memberTexts(text)
  return Object.hasOwn(members, name) ? members[name] : null
}

/** Returns the members of a JSON object, each as its exact text. */
export function memberTexts(text) {
  const found = tokens(text)
  const members = Object.create(null)
  if (found[0] !== '{') return members
  for (let at = 1; at < found.length && found[at] !== '}';) {
    const name = JSON.parse(found[at])
    const end = endOf(found, at + 2)
    members[name] = found.slice(at + 2, end).join('')
    at = end + 1
  }
  return members
}

/** Returns the items of a JSON array, each as its exact text. */
export function itemTexts(text) {
  const found = tokens(text)
  const items = []
  if (found[0] !== '[') return items
  for (let at = 1; at < found.length && found[at] !== ']';) {
    const end = endOf(found, at)
    items.push(found.slice(at, end).join(''))
    at = end + 1
  }
  return items
}

function endOf(found, start) {
  let depth = 0, at = start
  do {
    if (found[at] === '{' || found[at] === '[') depth += 1
    if (found[at] === '}' || found[at] === ']') depth -= 1
    at += 1
  } while (depth > 0 && at < found.length)
  return at
}

/** Returns the error of a text that is not JSON, or null. */
export function jsonError(text) {
  try {
    JSON.parse(text)
    return null
  } catch (error) {
    return error.message
  }
}
