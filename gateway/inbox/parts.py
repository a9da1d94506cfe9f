"""What is inside a stored mail: its files, and its HTML made harmless.

Called by the pages' downloads, on a thread of their own: reading a large mail takes time. The bytes are untrusted; the
walk over them is bounded (`mail.message`). HTML is cleaned by nh3 to words, tables and colours: no scripts, no forms,
no images, no links that lead anywhere, nothing remote. The pages frame it in a sandbox besides (security rule 10).
Images only when somebody asks for them: those that came with the mail, and a bounded number from https addresses.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

import nh3

from gateway.inbox.reading import read_attachments
from gateway.mail.message import Part, decode, decode_text, walk
from gateway.store.database import Transaction
from gateway.store.messages import get_content, get_message

HTML_LIMIT = 500_000  # decoded bytes of an HTML part that are ever shown
IMAGES_LIMIT = 50  # images of a mail that are ever loaded from elsewhere
INLINE_LIMIT = 3_000_000  # bytes of the images that came with the mail

_PICTURES = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp"))  # no SVG: it can hold more than an image
_REMOTE = re.compile(r"https://[^\s/]", re.I)

_TAGS = set(
    """a abbr address b bdi bdo big blockquote br caption center cite code col colgroup dd del dfn div dl dt em font h1
    h2 h3 h4 h5 h6 hr i ins kbd li mark ol p pre q s samp small span strike strong sub sup table tbody td tfoot th thead
    time tr tt u ul var""".split()
)
_TABLE = {"align", "valign", "width", "height", "bgcolor", "colspan", "rowspan", "border", "cellpadding", "cellspacing"}
_ATTRIBUTES = {
    "*": {"style", "dir", "lang", "title"},
    "font": {"color", "size", "face"},
    "ol": {"start", "type"},
    **dict.fromkeys(("table", "tbody", "thead", "tfoot", "tr", "td", "th", "col", "colgroup"), _TABLE),
}
_STYLES = set(
    """background-color border border-bottom border-collapse border-color border-left border-radius border-right
    border-spacing border-style border-top border-width color font-family font-size font-style font-weight height
    letter-spacing line-height list-style-type margin margin-bottom margin-left margin-right margin-top max-width
    min-width padding padding-bottom padding-left padding-right padding-top text-align text-decoration text-indent
    text-transform vertical-align white-space width word-break word-wrap""".split()
)


def read_source(tx: Transaction, tenant_id: str, message_id: str) -> bytes | None:
    """The bytes of a mail as they left or came; None when the tenant has no such mail, or it is not rendered yet."""
    return get_content(tx, tenant_id, message_id) or None


def read_attachment(tx: Transaction, tenant_id: str, message_id: str, number: int) -> tuple[str, bytes] | None:
    """(file name, content) of a mail's n-th file, as `read_attachments` counts; None when there is none."""
    made = get_message(tx, tenant_id, message_id)
    if made is None or not any(found.number == number for found in read_attachments(made)):
        return None
    noted = made.detail["attachments"][number - 1]
    raw = get_content(tx, tenant_id, message_id)
    same_name: bytes | None = None
    for part in leaves(raw):
        content = decode(raw, part)
        if hashlib.sha256(content).hexdigest() == noted.get("sha256"):
            return str(noted.get("filename", "")), content
        if part.filename and part.filename == noted.get("filename") and same_name is None:
            same_name = content
    return None if same_name is None or noted.get("sha256") else (str(noted["filename"]), same_name)


def read_html(tx: Transaction, tenant_id: str, message_id: str, images: bool = False) -> str | None:
    """The HTML of a mail, cleaned, with its images if asked; "" without any; None when the tenant has no such mail."""
    raw = get_content(tx, tenant_id, message_id)
    if not raw:
        return None
    for part in leaves(raw):
        if part.content_type == "text/html" and part.disposition != "attachment":
            return clean_html(decode_text(raw, part, limit=HTML_LIMIT), _inline_images(raw) if images else None)
    return ""


def clean_html(html: str, images: Mapping[str, str] | None = None) -> str:
    """A fragment of harmless HTML: structure, words and colours of what was given, nothing that acts or loads.

    With `images` (Content-ID -> data: URL) its images stay, the first IMAGES_LIMIT of those that are elsewhere.
    """
    shown = images is not None
    return nh3.clean(
        html[:HTML_LIMIT],
        tags=_TAGS | {"img"} if shown else _TAGS,
        clean_content_tags={
            "script",
            "style",
            "title",
            "head",
            "noscript",
            "template",
            "svg",
            "math",
            "iframe",
            "object",
        },
        attributes=_ATTRIBUTES | {"img": {"src", "alt", "width", "height"}} if shown else _ATTRIBUTES,
        attribute_filter=_images(images) if images is not None else None,
        filter_style_properties=_STYLES,
        url_schemes={"https", "cid"} if shown else set(),
        strip_comments=True,
        link_rel=None,
    )


def _images(inline: Mapping[str, str]) -> Callable[[str, str, str], str | None]:
    """What becomes of an attribute: an image's address is one that came with the mail, https, or goes."""
    seen: set[str] = set()

    def judge(tag: str, name: str, value: str) -> str | None:
        if tag != "img" or name != "src":
            return value
        if value.lower().startswith("cid:"):
            return inline.get(unquote(value[4:]))
        if not _REMOTE.match(value) or len(seen) >= IMAGES_LIMIT:
            return None
        seen.add(value)
        return value

    return judge


def _inline_images(raw: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    left = INLINE_LIMIT
    for part in leaves(raw):
        named = part.head.text("content-id").strip("<> ")
        if (
            part.content_type in _PICTURES
            and named
            and named not in found
            and len(content := decode(raw, part)) <= left
        ):
            left -= len(content)
            found[named] = f"data:{part.content_type};base64,{base64.b64encode(content).decode()}"
    return found


def leaves(raw: bytes) -> Iterator[Part]:
    """The parts that hold something themselves, a mail's own ones; an enclosed message is one part."""
    enclosed: tuple[tuple[int, ...], ...] = ()
    for part in walk(raw):
        if any(part.path[: len(path)] == path and part.path != path for path in enclosed):
            continue
        if part.content_type.startswith("message/"):
            enclosed = (*enclosed, part.path)
        if not part.content_type.startswith("multipart/"):
            yield part
