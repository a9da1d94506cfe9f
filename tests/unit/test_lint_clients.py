"""What a mail uses of HTML and CSS is found, and what mail clients lack of it is told, by the data of caniemail."""

import importlib.util
import io
import json
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from gateway.outbound.lint_clients import GRACEFUL, IMPORTANT, features, features_of, unsupported

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("html", "slugs"),
    [
        ('<p style="display:flex;gap:1em">', {"html-p", "css-display-flex", "css-gap", "css-unit-em"}),
        ('<p style="display:none">', {"html-p", "css-display-none"}),
        ('<p style="display:inline-block">', {"html-p", "css-display"}),
        ('<p style="margin-left:5%;top:1px">',
         {"html-p", "css-margin", "css-unit-percent", "css-left-right-top-bottom", "css-unit-px"}),
        ('<p style="padding:1px 2px!important">', {"html-p", "css-padding", "css-unit-px", "css-important"}),
        ('<p style="width:calc(100% - 2em);color:rgba(0,0,0,.5)">',
         {"html-p", "css-width", "css-unit-calc", "css-unit-percent", "css-unit-em", "css-color", "css-rgba"}),
        ("<p style=\"font-family:'1em calc(';mso-hide:all;-webkit-x:1vh\">", {"html-p", "css-font"}),
        ('<p style="white-space:nowrap">', {"html-p", "css-white-space-nowrap"}),
        ('<p style="white-space:pre-line">', {"html-p", "css-white-space"}),
        ('<td align="left" role="none" valign="top">', {"html-table", "html-align", "html-role", "html-valign"}),
        ('<a href="mailto:a@b.example">', {"html-a", "html-mailto-links"}),
        ('<input type="checkbox">', {"html-input", "html-input-checkbox"}),
        ("<style>.a{color:red}</style>", {"html-style", "css-selector-class", "css-color"}),
        ("<style>/* x */ h1 > b, #c * { top: 1px }</style>",
         {"html-style", "css-comments", "css-selector-type", "css-selector-child", "css-selector-grouping",
          "css-selector-id", "css-selector-universal", "css-selector-descendant", "css-left-right-top-bottom",
          "css-unit-px"}),
        ("<style>@media (prefers-color-scheme: dark) { .a:hover { margin: 0 } }</style>",
         {"html-style", "css-at-media", "css-at-media-prefers-color-scheme", "css-selector-class",
          "css-pseudo-class-hover", "css-margin"}),
        ('<style>[data-x] .a.b::before { content: "{;}" }</style>',
         {"html-style", "css-selector-attribute", "css-selector-class", "css-selector-chaining",
          "css-selector-descendant", "css-pseudo-element-before", "css-content"}),
        ("<style>@import url(x.css); @font-face { font-family: a }</style>",
         {"html-style", "css-at-import", "css-at-font-face", "css-font"}),
        ('<!--[if mso]><p style="position:absolute"></p><![endif]--><br>', {"html-br"}),
    ],
)  # fmt: skip
def test_what_a_mail_uses_is_found(html: str, slugs: set[str]) -> None:
    assert features_of(html) == slugs


@pytest.mark.parametrize(
    ("html", "title", "client"),
    [
        ('<p style="display:grid">', "display:grid", "Outlook for Windows"),
        ('<p style="position:fixed">', "position", "Gmail in a browser"),
        ("<svg></svg>", "Embedded <svg> image", "Gmail in a browser"),
        ("<style>@import url(x.css);</style>", "@import", "Gmail for Android"),
        ("<style>@font-face { font-family: a }</style>", "@font-face", "Gmail in a browser"),
        ('<form action="https://x.example"></form>', "<form> element", "Outlook for Windows"),
        ('<p style="color:var(--ink)">', "CSS Variables (Custom Properties)", "Outlook for Windows"),
    ],
)
def test_what_an_important_client_lacks_is_told_with_the_client(html: str, title: str, client: str) -> None:
    found = {one.title: one.lacking for one in unsupported(html)}
    assert client in found[title]


def test_what_harms_nobody_is_accepted() -> None:
    mail = '<style>@media (prefers-color-scheme: dark) { .a { margin: 0 } }</style><p style="border-radius:6px">'
    assert unsupported(mail) == []


def test_every_acceptance_is_needed_and_has_its_reason() -> None:
    for slug, reason in GRACEFUL.items():
        assert len(reason) > 20, slug
        if slug != "css-white-space-nowrap":  # a value of ours, which the data does not tell apart
            assert any(client in IMPORTANT for client in features()[slug].lacking), slug


def test_the_data_knows_every_client_that_matters() -> None:
    data = json.loads((ROOT / "gateway/templates/email/caniemail.json").read_text("utf-8"))
    assert set(IMPORTANT) <= set(data["clients"])
    assert all(len(row) == len(data["clients"]) and set(row) <= set("yanu") for _, row in data["features"].values())
    assert len(data["features"]) > 250
    assert "Permission is hereby granted" in (ROOT / "gateway/templates/email/caniemail.LICENSE").read_text("utf-8")


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("caniemail_script", ROOT / "scripts/caniemail.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_table_is_made_of_the_package_with_the_newest_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stats = {
        "gmail": {"desktop-webmail": {"2019-01": "n", "2024-01": "a #1"}},
        "outlook": {"windows": {"2019": "n #2"}},
    }
    feature = {"slug": "css-x", "title": "x", "category": "css", "stats": stats}
    data = {"last_update_date": "2025-09-09 18:08:06 +0000", "data": [feature, feature | {"category": "image"}]}
    members = {"data/caniemail.json": data, "package.json": {"version": "9"}, "LICENSE": "MIT"}
    with tarfile.open(tmp_path / "caniemail.tgz", "w:gz") as archive:
        for name, content in members.items():
            raw = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    made = script()
    monkeypatch.setattr(made, "TARGET", tmp_path)
    made.main(tmp_path / "caniemail.tgz")
    written = json.loads((tmp_path / "caniemail.json").read_text("utf-8"))
    assert list(written["features"]) == ["css-x"]
    verdicts = dict(zip(written["clients"], written["features"]["css-x"][1], strict=True))
    assert (verdicts["Gmail in a browser"], verdicts["Outlook for Windows"], verdicts["Thunderbird"]) == ("a", "n", "u")
    assert written["about"].startswith("caniemail 9 (2025-09-09)")
    assert (tmp_path / "caniemail.LICENSE").read_text("utf-8") == "MIT"
