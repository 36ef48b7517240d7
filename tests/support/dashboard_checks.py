"""Checks of views that show texts of others, and of views on a phone, with a keyboard and for screen readers."""

from typing import Final

from tests.support.dashboard import DESKTOP, PHONE, Dashboard

# Runs if it becomes part of the page as HTML; as text it is harmless.
MARKUP: Final = "<img src=x onerror='window.attacked=1'><script>window.attacked=1</script>\"'&lt;{{7*7}}"


async def is_usable(dashboard: Dashboard, name: str) -> None:
    """Checks that a view has no violation of accessibility rules, fits a phone, and leaves no error in the console."""
    violations = await dashboard.axe()
    assert violations == [], violations
    await dashboard.screenshot(name)
    await dashboard.scheme("dark")
    violations = await dashboard.axe()
    assert violations == [], violations
    await dashboard.resize(*PHONE)
    too_wide = await dashboard.too_wide()
    assert too_wide == [], too_wide
    await dashboard.screenshot(f"{name}-phone")
    await dashboard.resize(*DESKTOP)
    errors = await dashboard.console_errors()
    assert errors == [], errors


async def shows_as_text(dashboard: Dashboard, *texts: str) -> None:
    """Checks that a view shows these texts as they are, and that none of them has become a part of the page."""
    for text in texts:
        await dashboard.browser.until(
            """const texts = [...document.querySelectorAll('main *, dialog *')].flatMap(one =>
                [...one.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => node.data)
                    .concat(one.value ?? []))
            return texts.some(text => text.includes(arguments[0]))""",
            text,
        )
    assert await dashboard.run("return document.querySelectorAll('main img, main script').length") == 0
    assert await dashboard.run("return window.attacked ?? null") is None


async def press_in_row(dashboard: Dashboard, row: str, button: str) -> None:
    """Clicks the button with this text in the row that begins with the other."""
    await dashboard.browser.until(
        """const row = [...document.querySelectorAll('tbody tr')].find(one => one.innerText.startsWith(arguments[0]))
        const found = [...row?.querySelectorAll('button') ?? []].find(one => one.innerText === arguments[1])
        if (!found || found.disabled) return false
        found.click()
        return true""",
        row,
        button,
    )


async def confirm(dashboard: Dashboard, button: str) -> None:
    """Clicks the button with this text in the open dialog, and waits until it is closed."""
    await dashboard.answer(button)
    await dashboard.browser.until("return document.querySelector('dialog[open]') === null")
