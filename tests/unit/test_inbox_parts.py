"""Mail HTML is made harmless, and the names of files are made safe."""

import re

import pytest

from gateway.inbox.parts import IMAGES_LIMIT, clean_html
from gateway.web.files import safe_name
from gateway.web.site import origins_of, own_path

BAD = "script onerror= href src= url( <form <input <iframe <meta <link position background= <base <svg <img".split()


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<a href='javascript:alert(1)'>x</a>",
        "<a href='https://phish.example/login'>x</a>",
        "<svg><script>alert(1)</script></svg>",
        "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>",
        "<iframe src='http://x.example'></iframe>",
        "<form action='http://x.example'><input name=p><button>Go</button></form>",
        "<p style=\"background:url('http://x.example/t.gif')\">x</p>",
        "<p style='position:fixed;top:0'>x</p>",
        "<link rel=stylesheet href='http://x.example/x.css'><base href='http://x.example'>",
        "<meta http-equiv=refresh content='0;url=http://x.example'>",
        "<table background='http://x.example/t.gif'><tr><td>x</td></tr></table>",
        "<!--[if mso]><img src='http://x.example'><![endif]-->",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    ],
)
def test_nothing_acts_or_loads_in_cleaned_html(html: str) -> None:
    cleaned = clean_html(html).lower()
    assert not [bad for bad in BAD if bad in cleaned.replace("&lt;", "")]


def test_the_words_tables_and_colours_of_a_mail_stay() -> None:
    html = "<table width=600><tr><td style='color: navy; padding: 4px' colspan=2>Bună ziua</td></tr></table>"
    cleaned = clean_html(html)
    assert "Bună ziua" in cleaned and "color:navy" in cleaned.replace(" ", "") and 'colspan="2"' in cleaned


def test_images_stay_only_when_asked_for_from_https_or_the_mail_itself_and_bounded() -> None:
    html = (
        "<img src='https://t.example/x.gif' onerror=x srcset='https://t.example/y.gif 2x' alt=a><img src='cid:logo'>"
        "<img src='cid:none'><img src='http://t.example/z.gif'><img src='//t.example/w.gif'><img src='/inbox'>"
        "<img src='data:image/svg+xml,x'><p style=\"background:url('https://t.example/t.gif')\">x</p>"
    )
    assert "<img" not in clean_html(html)
    cleaned = clean_html(html, {"logo": "data:image/png;base64,AAAA"})
    assert re.findall('src="([^"]*)"', cleaned) == ["https://t.example/x.gif", "data:image/png;base64,AAAA"]
    assert not [bad for bad in ("onerror", "srcset", "url(", "http:", "svg") if bad in cleaned]
    many = "".join(f"<img src='https://t.example/{n}'>" for n in range(IMAGES_LIMIT + 9))
    assert clean_html(many, {}).count("src=") == IMAGES_LIMIT


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("ordin de plată.pdf", "ordin de plată.pdf"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\x\\y.exe", "C_x_y.exe"),
        ("factura\u202efdp.exe", "facturafdp.exe"),
        ('a"b\r\nc.pdf', "a_b_c.pdf"),
        ("", "file"),
        ("...", "file"),
        ("х" * 300 + ".pdf", "х" * 116 + ".pdf"),
    ],
)
def test_a_file_name_is_safe_and_keeps_its_ending(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\r\nX: y", "/ă"])
def test_a_redirect_never_leaves_the_site(path: str) -> None:
    assert own_path(path) == "/inbox"
    assert own_path("/inbox?view=all") == "/inbox?view=all"


def test_a_session_never_travels_in_the_clear_but_on_loopback() -> None:
    assert origins_of("https://mail.alfa.example/") == (True, frozenset({"https://mail.alfa.example"}))
    assert "http://localhost:8025" in origins_of("http://127.0.0.1:8025")[1]
    for url in ("http://mail.alfa.example", "mail.alfa.example", "ftp://localhost", ""):
        with pytest.raises(ValueError, match="must be https"):
            origins_of(url)
