"""One-time codes as RFC 6238 computes them, near the clock only; browsers in plain words."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from gateway.store.totp import address_of, code_at, match_step, readable, step_at
from gateway.web.browsers import name_browser

SECRET = b"12345678901234567890"  # of RFC 6238, appendix B
NOW = datetime(2026, 11, 24, 9, 30, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"), (1111111109, "07081804"), (1111111111, "14050471"), (1234567890, "89005924"),
        (2000000000, "69279037"), (20000000000, "65353130"),
    ],
)  # fmt: skip
def test_codes_are_those_of_the_rfc(seconds: int, code: str) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    assert code_at(SECRET, step_at(at)) == code[2:]  # the last six of its eight digits
    assert match_step(SECRET, code[2:], at) == step_at(at)


def test_a_code_is_right_one_step_before_and_after_and_no_further() -> None:
    code = code_at(SECRET, step_at(NOW))
    for seconds, right in ((-60, False), (-30, True), (0, True), (30, True), (60, False)):
        assert bool(match_step(SECRET, code, NOW + timedelta(seconds=seconds))) == right, seconds
    for wrong in ("", "000000", code[:5], code + "0", "٣٣٣٣٣٣"):
        assert match_step(SECRET, wrong, NOW) == 0, wrong


def test_an_app_reads_the_address() -> None:
    found = urlsplit(address_of(SECRET, "ana@acme.example", "Alfa: Consulting & Co"))
    assert (found.scheme, found.netloc) == ("otpauth", "totp")
    assert unquote(found.path) == "/Alfa  Consulting & Co:ana@acme.example"
    assert parse_qs(found.query) == {
        "secret": [readable(SECRET)], "issuer": ["Alfa: Consulting & Co"], "digits": ["6"], "period": ["30"],
    }  # fmt: skip
    assert readable(SECRET) == "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "browser", "system"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox", "Windows"),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36", "Chrome", "Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/142.0 Safari/537.36 Edg/142.0", "Edge", "Windows"),
        (f"Mozilla/5.0 (Linux; Android 15; SM-S921B) {WEBKIT} SamsungBrowser/28.0 Chrome/130.0 Mobile Safari/537.36",
         "Samsung Internet", "Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Safari/604.1",
         "Safari", "iPhone"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Chrome/142 YaBrowser/25.2 Safari/537.36",
         "Yandex Browser", "macOS"),
        ("curl/8.14.1", "curl", ""),
        ("Mozilla/5.0", "", ""), ("", "", ""), ("<script>alert(1)</script>", "", ""),
    ],
)  # fmt: skip
def test_a_browser_is_told_in_plain_words(agent: str, browser: str, system: str) -> None:
    assert name_browser(agent) == (browser, system)
