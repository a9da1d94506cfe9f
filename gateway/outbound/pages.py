"""Our own Jinja templates, compiled once: the sandbox, autoescape, strict about unknown names, and no loader.

Called by rendering and the PDF with plain data (text, tuples, frozen values). A template can reach nothing else.
"""

import functools
from importlib.resources import files

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment


@functools.cache
def page(path: str) -> Template:
    """The template at `path` below `gateway/templates`. Those whose name ends in .txt are not escaped."""
    source = (files("gateway") / "templates" / path).read_text("utf-8")
    environment = ImmutableSandboxedEnvironment(
        autoescape=not path.endswith(".txt"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)


@functools.cache
def style(path: str) -> str:
    """A style sheet below `gateway/templates`."""
    return (files("gateway") / "templates" / path).read_text("utf-8")
