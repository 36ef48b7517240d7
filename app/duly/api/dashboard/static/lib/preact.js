// Preact and htm. Links of the dashboard are written as /ui/...; the path prefix is added here.
import { h as createElement, render, Component, Fragment, createContext } from '../vendor/preact.js'
import {
  useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from '../vendor/preact-hooks.js'
import htm from '../vendor/htm.js'
import { BASE, below } from './base.js'

function h(type, props, ...children) {
  if (BASE && type === 'a' && props && /^\/(ui|docs|api)(\/|$|\?)/.test(props.href)) {
    props = { ...props, href: below(props.href) }
  }
  return createElement(type, props, ...children)
}

export const html = htm.bind(h)
export {
  render, Component, Fragment, createContext,
  useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
}
