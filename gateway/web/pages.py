"""Templates to pages: one Jinja environment per language, everything escaped, and the page of an error.

Called by the routes with a template's name and what it shows. Templates get the reader's formats and the words of
`web.words`; they compute nothing. A name that a template misspells is an error, not an empty place.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.inbox import views
from gateway.mail.reply import Refused
from gateway.web import words
from gateway.web.areas import areas_of
from gateway.web.dns_words import say_dns
from gateway.web.refusals import say_refusal
from gateway.web.site import LANGUAGE_COOKIE, Visit, form_token, own_path, site_of
from gateway.web.translation import LANGUAGES, NAMES, Reader, translation, zone
from gateway.web.whys import say_why

_SCRIPT = "text/javascript; charset=utf-8"
STATIC_TYPES = {
    "style.css": "text/css; charset=utf-8",
    "htmx.js": _SCRIPT,  # as its npm package has it; htmx.LICENSE beside it
    "keys.js": _SCRIPT,
    "dialogs.js": _SCRIPT,
    "files.js": _SCRIPT,
    "icon.svg": "image/svg+xml",
}


@cache
def static_file(name: str) -> bytes:
    """A file that pages load. Raises KeyError for a name that is none of ours."""
    if name not in STATIC_TYPES:
        raise KeyError(name)
    static = files("gateway.web") / "static"
    if name == "style.css":  # one sheet for the browser; a file per area for us
        parts = sorted((static / "style").iterdir(), key=lambda part: part.name)
        return b"\n".join(part.read_bytes() for part in parts)
    return (static / name).read_bytes()


@cache
def static_url(name: str) -> str:
    """Its URL; it changes with the content, so browsers may keep it for ever."""
    return f"/static/{name}?v={hashlib.sha256(static_file(name)).hexdigest()[:12]}"


@cache
def environment(language: str) -> Environment:
    """The templates in one language."""
    made = Environment(
        loader=PackageLoader("gateway", "templates/inbox"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    found = translation(language)
    made.install_gettext_callables(found.gettext, found.ngettext, newstyle=True)  # type: ignore[attr-defined]
    made.globals.update(static_url=static_url, words=words, views=views, languages=LANGUAGES, language_names=NAMES)
    made.globals.update(areas_of=areas_of)
    made.filters["segment"] = lambda text: quote(text, safe="")
    made.filters["say"] = found.gettext
    made.filters["dns"] = lambda text: say_dns(text, found.gettext)
    made.filters["why"] = lambda why: say_why(why, found.gettext)
    made.filters["found"] = lambda text, facts, reader: _found(text, facts, reader, found.gettext)
    made.filters["refusal"] = lambda refused: say_refusal(refused, found.gettext)
    made.filters["tell"] = lambda line: found.gettext(line.template) % _said(line.values, found.gettext)
    return made


def _said(values: Any, gettext: Any) -> Any:
    """The facts of a timeline's line; ours among them ("no TLS", a chip's name) in the reader's language."""
    told = type(values)(values)
    for key, value in values.items():
        if key in ("reason", "chip"):
            told[key] = gettext(words.chip(value)[0])
        elif key == "why":
            told[key] = say_why(value, gettext)
        elif key in ("host", "tls", "words", "by"):
            told[key] = gettext(value)
    return told


def _found(text: str, facts: Any, reader: Reader, gettext: Any) -> str:
    """A text of a health finding (`serve.health`); as it stands when whoever wrote it gave no facts."""
    if facts is None:
        return text
    told = {name: reader.number(value) if isinstance(value, int) else value for name, value in facts.items()}
    if "why" in told:
        told["why"] = say_dns(say_why(told["why"], gettext), gettext)
    return str(gettext(text) % told)


@dataclass(frozen=True)
class _Look:
    """How a page looks to whoever asked: their language, zone, and the moment."""

    reader: Reader
    now: datetime


def render(request: Request, name: str, code: int = 200, **shown: Any) -> HTMLResponse:
    """A page. Sets the cookie of the form's token when the visitor has none yet."""
    site = site_of(request)
    visit: Visit | None = getattr(request.state, "visit", None)
    reader = visit.reader if visit else Reader(visitor_language(request), zone("UTC"))
    token, fresh = form_token(request)
    here = quote(request.url.path, safe="/") + (f"?{request.url.query}" if request.url.query else "")
    html = environment(reader.language).get_template(name).render(
        visit=visit,
        reader=reader,
        now=site.clock(),
        csrf=token,
        here=own_path(here) if request.method == "GET" else visit.home if visit else "/inbox",
        **shown,
    )  # fmt: skip
    response = HTMLResponse(html, code)
    if fresh:
        set_cookie(request, response, site.form_cookie, token)
    return response


def say(request: Request, refused: Refused) -> str:
    """Why something was refused, in the language of whoever asked."""
    visit: Visit | None = getattr(request.state, "visit", None)
    language = visit.reader.language if visit else visitor_language(request)
    return say_refusal(refused, translation(language).gettext)


def visitor_language(request: Request) -> str:
    """The language for somebody who is not logged in: what they chose last, else the operator's."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return chosen if chosen in LANGUAGES else site_of(request).operator_language


def set_cookie(request: Request, response: Response, name: str, value: str, seconds: int | None = None) -> None:
    """Give the browser a cookie that only we read."""
    secure = site_of(request).secure
    response.set_cookie(name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="lax")


def drop_cookie(request: Request, response: Response, name: str) -> None:
    """Take a cookie back."""
    response.delete_cookie(name, path="/", secure=site_of(request).secure, httponly=True, samesite="lax")


def error_page(request: Request, status: int, why: str = "") -> HTMLResponse:
    """The page of an error: what it means and what to do, never what went wrong inside."""
    return render(request, "error.html", status, status=status, why=why)
