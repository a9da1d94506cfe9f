"""A browser and its system in plain words, from how the browser calls itself, for the list of one's sessions.

A name is what its owner says it is: it helps people to recognise their own devices and decides nothing.
"""

import re

# in order: most browsers call themselves others too
_BROWSERS = (
    ("Edge", r"\bEdg(?:e|A|iOS)?/"),
    ("Opera", r"\bOPR/|\bOpera\b"),
    ("Yandex Browser", r"\bYaBrowser/"),
    ("Samsung Internet", r"\bSamsungBrowser/"),
    ("Firefox", r"\bFirefox/|\bFxiOS/"),
    ("Chrome", r"Chrom(?:e|ium)/|\bCriOS/"),
    ("Safari", r"\bSafari/"),
)
_SYSTEMS = (
    ("iPhone", r"\biPhone\b"),
    ("iPad", r"\biPad\b"),
    ("Android", r"\bAndroid\b"),
    ("Windows", r"\bWindows\b"),
    ("macOS", r"\bMac(?:intosh| OS)\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("Linux", r"\bLinux\b|\bX11\b"),
)


def name_browser(agent: str) -> tuple[str, str]:
    """(browser, system) of a User-Agent; "" for what it does not say. A program's own name stands for an odd one."""
    browser = _first(_BROWSERS, agent)
    if not browser and (own := re.match(r"[A-Za-z][\w.-]{0,29}", agent)) and not agent.startswith("Mozilla/"):
        browser = own[0]
    return browser, _first(_SYSTEMS, agent)


def _first(known: tuple[tuple[str, str], ...], agent: str) -> str:
    return next((name for name, form in known if re.search(form, agent)), "")
