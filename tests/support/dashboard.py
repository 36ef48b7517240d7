"""The dashboard in a browser, as its tests see it: views, their texts, buttons and fields, and what they may not do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.browser import Browser
from tests.support.forked_commands import ROOT
from tests.support.service import ServiceClient, eventually

# Kept by CI.
SCREENSHOTS: Final = ROOT / "build" / "screenshots"
DESKTOP: Final = (1280, 900)
PHONE: Final = (390, 800)
# By their visible text, as people find them.
_FIND: Final = """
const [role, text, exact] = arguments
const kinds = {
    link: 'a[href]', button: 'button, summary, [role=button]', heading: 'h1, h2, h3', row: 'tbody tr',
    field: 'input, select, textarea',
}
const words = one => (role === 'field'
    ? [...(one.labels ?? [])].map(label => label.innerText).join(' ') || one.getAttribute('aria-label') || ''
    : one.innerText + ' ' + (one.getAttribute('aria-label') ?? '')).replace(/\\s+/g, ' ').trim()
const within = document.querySelector('dialog[open]') ?? document
const found = [...within.querySelectorAll(kinds[role])]
    .filter(one => one.checkVisibility() && (exact ? words(one) === text : words(one).includes(text)))
const one = found[0]
"""
_MISSING: Final = "const shown = document.body.innerText; return arguments[0].filter(text => !shown.includes(text))"
_FITS: Final = """
const width = document.documentElement.clientWidth
if (document.documentElement.scrollWidth <= width) return []
return [...document.querySelectorAll('main *, header *')].filter(one => one.getBoundingClientRect().right > width + 1)
    .map(one => one.outerHTML.slice(0, 200))
"""
_AXE: Final = """
return axe.run(document, {runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa',
    'best-practice']}}).then(found => found.violations.map(each =>
        `${each.id}: ${each.help}\\n` + each.nodes.map(node => `    ${node.html.slice(0, 200)}\\n`
            + `    ${node.failureSummary.slice(0, 300)}`).join('\\n')))
"""


@dataclass
class Dashboard:
    """The dashboard of a service in a browser. Every method waits until what it needs is there, with a bound."""

    browser: Browser
    service: ServiceClient
    axe_source: str

    async def open(self, path: str = "/ui") -> None:
        """Loads a view, as from a link, and waits for its heading."""
        await self.browser.open(f"{self.service.url}{path}")
        await self.browser.until("return document.querySelector('main h1') !== null")

    async def text(self) -> str:
        """Returns the visible text of the page, of the open dialog if there is one."""
        text: str = await self.browser.run("return (document.querySelector('dialog[open]') ?? document.body).innerText")
        return text

    async def shows(self, *texts: str) -> None:
        """Waits until the page shows all of these texts."""
        await self.browser.until(
            "const shown = document.body.innerText; return arguments[0].every(text => shown.includes(text))",
            list(texts),
        )

    async def shows_each(self, *texts: str) -> None:
        """Waits until the page has shown each of these texts: a message goes after some seconds, on a slow machine
        before the effect of what it says is there.
        """
        missing = list(texts)

        async def shown() -> bool:
            nonlocal missing
            missing = await self.run(_MISSING, missing)
            return not missing

        try:
            await eventually(shown)
        except TimeoutError:
            raise AssertionError(f"not shown: {missing}") from None

    async def shows_no(self, text: str) -> None:
        """Waits until the page does not show a text any more."""
        await self.browser.until("return !document.body.innerText.includes(arguments[0])", text)

    async def count(self, role: str, text: str = "") -> int:
        """Returns how many links, buttons, headings, rows or fields with this text are visible."""
        number: int = await self.browser.run(f"{_FIND} return found.length", role, text, False)
        return number

    async def press(self, text: str, *, role: str = "button", exact: bool = False) -> None:
        """Clicks the first button (or link) with this text, once it is enabled."""
        await self.browser.until(
            f"{_FIND} if (!one || one.disabled) return false; one.click(); return true", role, text, exact
        )

    async def answer(self, text: str) -> None:
        """Clicks a button of the dialog, once that is open: its button may be called as the one that opens it."""
        await self.browser.until("return document.querySelector('dialog[open]') !== null")
        await self.press(text, exact=True)

    async def follow(self, text: str) -> None:
        """Clicks the first link with this text."""
        await self.press(text, role="link")

    async def fill(self, label: str, value: str) -> None:
        """Sets the value of the field with this label, as typing does."""
        await self.browser.until(
            f"""{_FIND.replace("[role, text, exact]", "[role, text, exact, value]")}
            if (!one || one.disabled) return false
            if (one.options && ![...one.options].some(option => option.value === value)) return false
            const kind = one.tagName === 'SELECT' ? HTMLSelectElement
                : one.tagName === 'TEXTAREA' ? HTMLTextAreaElement : HTMLInputElement
            if (one.type === 'checkbox') {{ if (one.checked !== (value === 'true')) one.click(); return true }}
            Object.getOwnPropertyDescriptor(kind.prototype, 'value').set.call(one, value)
            one.dispatchEvent(new Event('input', {{bubbles: true}}))
            one.dispatchEvent(new Event('change', {{bubbles: true}}))
            return true""",
            *("field", label, False, value),
        )

    async def enabled(self, text: str) -> bool:
        """Returns whether the first button with this text can be pressed."""
        found: bool = await self.browser.until(f"{_FIND} return one ? [!one.disabled] : null", "button", text, False)
        return bool(found[0])  # type: ignore[index]  # JavaScript's list

    async def sign_in(self, key: str) -> None:
        """Signs in on the page that asks for a key."""
        await self.fill("API key", key)
        await self.press("Sign in")
        await self.browser.until("return document.querySelector('header.top') !== null")

    async def forget(self) -> None:
        """Leaves the page, deletes cookies and storage, as in another browser, and sets the usual size and theme."""
        await self.browser.open("about:blank")  # a page that stays goes on to read
        await self.browser.devtools("Network.clearBrowserCookies")
        await self.browser.devtools("Storage.clearDataForOrigin", origin=self.service.url, storageTypes="all")
        await self.browser.devtools("Emulation.setEmulatedMedia", features=[])
        await self.resize(*DESKTOP)
        await self.browser.console()

    async def resize(self, width: int, height: int) -> None:
        """Sets the size of the page, smaller than any window if need be."""
        await self.browser.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    async def scheme(self, name: str) -> None:
        """Sets the colour scheme of the system: `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        await self.browser.devtools("Emulation.setEmulatedMedia", features=features)

    async def console_errors(self, *, besides: Sequence[str] = ()) -> list[str]:
        """Returns the errors of the console since the last call, without those that contain one of `besides`."""
        return [line for line in await self.browser.console() if not any(text in line for text in besides)]

    async def axe(self) -> list[str]:
        """Returns the violations of accessibility rules on the page, as axe-core finds them."""
        await self.browser.run(f"if (!window.axe) {{ {self.axe_source} }}")
        found: list[str] = await self.browser.run(_AXE)
        return found

    async def too_wide(self) -> list[str]:
        """Returns the elements because of which the page scrolls sideways."""
        found: list[str] = await self.browser.run(_FITS)
        return found

    async def screenshot(self, name: str) -> Path:
        """Keeps a picture of the page under this name."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        path.write_bytes(await self.browser.screenshot())
        return path

    async def run(self, script: str, *arguments: Any) -> Any:
        """Runs the body of a function in the page."""
        return await self.browser.run(script, *arguments)
