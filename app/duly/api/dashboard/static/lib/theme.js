// Light or dark: that of the system, until the page's button chose one.
import { store } from './store.js'

const KEY = 'duly-theme'
const dark = window.matchMedia('(prefers-color-scheme: dark)')

const read = () => {
  try {
    return window.localStorage.getItem(KEY)
  } catch {
    return null // storage is switched off
  }
}
const shown = () => read() ?? (dark.matches ? 'dark' : 'light')

/** "light" or "dark", as shown. */
export const theme = store(shown())

function apply() {
  document.documentElement.dataset.theme = shown()
  theme.set(shown())
}

export function toggleTheme() {
  try {
    window.localStorage.setItem(KEY, shown() === 'dark' ? 'light' : 'dark')
  } catch {
    return
  }
  apply()
}

export function startTheme() {
  dark.addEventListener('change', apply)
  apply()
}
