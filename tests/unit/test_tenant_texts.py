"""What a tenant says in place of our texts: the same words when it starts from ours, nothing hostile, no holes."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.mail.reply import Refused
from gateway.outbound.brand import Brand
from gateway.outbound.filling import PARTS, Texts, fill, texts_of
from gateway.outbound.gallery import Situation
from gateway.outbound.rendering import Rendered, render_mail
from gateway.outbound.tenant_language import MAX_OUTPUT, MAX_SOURCE
from gateway.outbound.tenant_texts import SAMPLES, bare, check_texts, product_texts, sample_situations, to_jinja
from gateway.outbound.texts import LANGUAGES, language, templates
from gateway.wire.workers import WorkerFailed, WorkerPool
from tests.unit import worker_tasks

CORPUS = Path(__file__).resolve().parents[1] / "corpus/documents"
BRAND = Brand(company="Acme Servicii SRL")


def sample(key: str = "new_invoice", code: str = "ro") -> Situation:
    return next(sample_situations(key, code))


def said(text: str, part: str = "text", code: str = "ro", key: str = "new_invoice") -> str:
    """What a part says of the sample, checked as it would be when it is set."""
    found = check_texts(key, code, {part: text})[0]
    return found.lead if part == "text" else str(getattr(found, part))


def refusal(text: str, part: str = "text", key: str = "new_invoice") -> str:
    with pytest.raises(Refused) as refused:
        check_texts(key, "ro", {part: text})
    assert refused.value.reply.code == 501
    return refused.value.reply.text


def mail(texts: Mapping[str, str], situation: Situation | None = None) -> Rendered:
    one = situation or sample()
    return render_mail(one.key, one.document, BRAND, one.today, False, texts=texts)


# -- ours, as a tenant would write it


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("key", list(templates()))
def test_our_texts_in_the_tenants_language_say_the_same_words(key: str, code: str) -> None:
    own = product_texts(key, code)
    for one in (found for situation in sample_situations(key, code) for found in (situation, bare(situation))):
        for pdf, bundled in ((False, False), (True, False), (True, True)):
            both: list[Texts | str] = []
            for texts in (None, own):
                try:
                    both.append(fill(key, code, one.document, "Acme", one.today, pdf=pdf, bundled=bundled, texts=texts))
                except Refused as refused:
                    both.append(refused.reply.text.partition(" in its ")[0])
            assert both[0] == both[1]
    check_texts(key, code, own)


def test_marks_become_conditions() -> None:
    assert to_jinja("{Doc} {number}[ · {amount} la {date}][?pdf  cu PDF][ x]") == (
        "{{ Doc }} {{ number }}{% if amount and date %} · {{ amount }} la {{ date }}{% endif %}"
        "{% if pdf %} cu PDF{% endif %} x"
    )


def test_what_a_tenant_did_not_write_is_ours_whatever_it_becomes() -> None:
    one = sample()
    ours = fill(one.key, "ro", one.document, "Acme", one.today)
    changed = fill(one.key, "ro", one.document, "Acme", one.today, texts={"subject": "Nou: {{ number }}"})
    assert changed.subject == f"Nou: {one.document.number}"
    for part in ("title", "preheader", "lead", "button", "greeting", "footer", "after"):
        assert getattr(changed, part) == getattr(ours, part), part


def test_only_what_was_written_in_a_language_counts() -> None:
    settings: dict[tuple[str, str], dict[str, Any]] = {
        ("estimate", "ro"): {"subject": "X", "text": ""},
        ("estimate", ""): {"enabled": False},
    }
    assert texts_of(settings, "estimate", "ro") == {"subject": "X"}
    assert texts_of(settings, "estimate", "ru") == texts_of(settings, "refund", "ro") == {}


def test_the_samples_are_those_of_the_corpus_in_every_language_and_type() -> None:
    types = {type_ for template in templates().values() for type_ in template.fits}
    assert {path.stem for path in SAMPLES.glob("*.json")} == {
        f"{type_}_{code}" for type_ in types for code in LANGUAGES
    }
    for path in SAMPLES.glob("*.json"):
        assert path.read_bytes() == (CORPUS / path.name).read_bytes(), path.name
    for key, template in templates().items():
        assert {one.document.type for one in sample_situations(key, "ru")} == set(template.fits)


# -- the language


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ Doc }} {{ number }}: {{ balance }}", "Cont de plată CP-2026-0042: 1.200,00\u00a0MDL"),
        ("{{ document.total|money(document.currency) }}", "1.200,00\u00a0MDL"),
        ("{{ document.due_date|date }}, {{ document.due_date|short_date }}", "8\u00a0decembrie\u00a02026, 08.12.2026"),
        ("{{ document.net|number }}", "1.000"),
        ("{{ contact|upper|truncate(5) }}", "ANA…"),
        ("{{ doc_def|capitalised }}", "Contul de plată"),
        ("{{ number|replace('-', '/') }}", "CP/2026/0042"),
        ("{{ order|default('fără') }}, {{ order or 'fără' }}", "fără, fără"),
        ("a{% if overdue_days > 3 %}târziu{% elif document.metadata.x %}x{% else %}bine{% endif %}", "abine"),
        ("{{ document.metadata.x|default('–') }}", "–"),
        ("a{% if document.metadata['x-y'] %}{{ document.metadata['x-y'] }}{% endif %}", "a"),
        ("{% for line in lines %}{{ loop.index }}. {{ line.description }}{{ '' if loop.last else '; ' }}{% endfor %}",
         "1. Găzduire web, pachet M; 2. Consultanță tehnică"),
        ("{{ lines|length }} și {{ lines[0].amount }}", "2 și 500,00\u00a0MDL"),
        ("A\n{% if due_date %}\nB\n{% endif %}\nC", "A\nB\nC"),
        ("A {# a remark #}{{ '{{' }}", "A {{"),
    ],
)  # fmt: skip
def test_a_text_says(text: str, expected: str) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ nubmer }}", "'nubmer', which is no variable; did you mean number"),
        ("\n{{ dokument.x }}", "line 2 speaks of 'dokument', which is no variable; did you mean document"),
        ("{{ document.due_dat }}", "'due_dat', which document does not have; there is due_date"),
        ("{% for line in lines %}{{ line.total }}{% endfor %}", "'total', which line does not have; there is"),
        ("{number}", "'{number}'; write {{ number }}"),
        ("[?pdf cu PDF]", "'[?pdf'"),
        ("{{ number", "cannot be read"),
        ("{% if number %}", "cannot be read"),
        ("{{ contact|shout }}", "the filter 'shout'; there are"),
        ("{{ number is odd_number }}", "odd_number"),
        ("{{ number.upper() }}", "there are only variables and filters"),
        ("{{ overdue_days * 2 }}", "reckons with *"),
        ("{% set x = 1 %}", "uses {% set %}"),
        ("{% include 'secret' %}", "uses {% include %}"),
        ("{% import 'os' as os %}", "uses {% import %}"),
        ("{% extends 'mail.html' %}", "uses {% extends %}"),
        ("{% macro m() %}{% endmacro %}", "uses {% macro %}"),
        (
            "{{ order }}",
            "new_invoice speaks of in its text; ask first, as {% if order %}",
        ),
        ("{{ document.metadata.po }}", "has no metadata.po"),
        ("{{ document.metadata['po-no'] }}", "has no metadata.po-no"),
        ("{{ document['purchase_order'] }}", "has no purchase_order"),
        ("{{ " + "9" * 5000 + " }}", "cannot be read"),
        ("A{% if pdf %}{% else %}{{ order }}{% endif %}", "has no order"),
        ("{{ lines }}", "prints a whole list"),
        ("{{ document }}", "prints a whole list"),
        ("{{ customer|money('MDL') }}", "is no amount"),
        ("{{ customer|date }}", "is no day"),
        ("{{ overdue_days > customer }}", "cannot be filled in"),
        ("{% if order %}x{% endif %}", "says nothing"),
        ("a\x07b", "control characters"),
        ("Apăsați {{ button }} acum", "on a line of its own"),
        ("{% for a in lines %}{% for b in lines %}{% endfor %}{% endfor %}", "a loop within a loop"),
        ("{% for a in number %}x{% endfor %}", "can only loop over"),
        ("{% for number in lines %}x{% endfor %}", "another name"),
        ("{% for a in lines recursive %}x{% endfor %}", "can only loop over"),
    ],
)
def test_a_text_is_refused_with_what_to_do(text: str, words: str) -> None:
    assert words in refusal(text)


HOSTILE = (
    "{{ ''.__class__ }}", "{{ number.__class__.__mro__ }}", "{{ number['__class__'] }}",
    "{{ number['__cl' ~ 'ass__'] }}", "{{ ''['__cl' ~ 'ass__']['__mro__'] }}", "{{ number|attr('__class__') }}",
    "{{ document.__init__ }}", "{{ self }}", "{{ cycler.__init__.__globals__ }}", "{{ lipsum.__globals__.os }}",
    "{{ loop }}", "{% for a in lines %}{{ loop.__init__ }}{% endfor %}", "{{ ''.join(['a'] * 10**9) }}",
    "{% for i in range(10**9) %}x{% endfor %}", "{{ range(10**9)|list }}", "{{ 'a' * 10**9 }}", "{{ 9**9**9 }}",
    "{{ '%1000000000d'|format(1) }}", "{{ 'x'|center(10**9) }}", "{{ '{0.__class__}'.format(number) }}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "{{ number" + "|upper" * 1500 + " }}",
    "{{ " + "not " * 2400 + "number }}", "{% if number %}" * 150 + "x" + "{% endif %}" * 150,
    "{{ number" + "[0]" * 3000 + " }}", "{{ [" * 1500, "{{ number ~ " * 900 + "1 }}",
    "{{ customer|replace('', 'x' ~ customer)" + "|replace('x', customer ~ customer)" * 60 + " }}",
    "x" * (MAX_SOURCE + 1), "{% for line in lines %}" + "{{ customer }}" * 650 + "{% endfor %}",
    "{% trans %}x{% endtrans %}", "{% do lines.append(1) %}", "{{ lines.append(1) }}", "{{ caller() }}",
    "{% filter upper %}x{% endfilter %}", "{% with %}x{% endwith %}", "{% call m() %}{% endcall %}", "{{ \ud800 }}",
)  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    """One confined process with less memory than the gateway gives."""
    made = WorkerPool(1, memory_bytes=256 * 2**20, preload=("gateway.outbound.tenant_texts",))
    yield made
    made.close()


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_is_refused_in_words_and_costs_no_worker(pool: WorkerPool, text: str) -> None:
    try:
        found = pool.run_sync(check_texts, "new_invoice", "ro", {"text": text}, seconds=20)
    except Refused as refused:
        assert refused.reply.code == 501 and len(refused.reply.text) < 1000
        assert "object at 0x" not in refused.reply.text and "gateway." not in refused.reply.text
    else:
        assert all(len(one.lead) <= PARTS["text"] for one in found)  # it was long, and is cut


def test_what_a_text_can_never_ask_for_the_sandbox_and_the_worker_would_stop(pool: WorkerPool) -> None:
    async def run(text: str) -> str:
        return await pool.run(worker_tasks.say_unchecked, text, seconds=2)

    with pytest.raises(RuntimeError, match="SecurityError"):
        asyncio.run(run("{{ ''.__class__.__mro__ }}"))
    with pytest.raises(RuntimeError, match="Undefined"):
        asyncio.run(run("{{ range(9) }}"))
    with pytest.raises(WorkerFailed) as large:
        asyncio.run(run("{{ 'a' * 10**9 }}"))
    assert large.value.kind == "memory"
    with pytest.raises(WorkerFailed) as slow:
        asyncio.run(run("{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}"))
    assert slow.value.kind == "timeout"
    assert asyncio.run(run("{{ 1 + 1 }}")) == "2"


def test_a_result_is_bounded_while_it_is_made() -> None:
    text = "{% for line in lines %}" + "{{ customer }}" * 600 + "{% endfor %}"
    assert f"more than {MAX_OUTPUT} characters" in refusal(text)


# -- the parts


@pytest.mark.parametrize("part", ["subject", "preheader", "title", "button"])
def test_a_part_of_one_line_stays_one_line_of_bounded_length(part: str) -> None:
    assert "one line" in refusal("{{ number }}\nBcc: x@x.example", part)
    assert "one line" in refusal("{{ number }}\u2028x", part)
    text = said("{{ number }} {{ customer }}  {{ customer }}" * 9, part)
    assert (
        len(text) == PARTS[part]
        and text.endswith("…")
        and text.isprintable() == text.replace("\xa0", " ").isprintable()
    )


def test_a_fact_with_line_breaks_cannot_break_the_subject() -> None:
    one = sample()
    hostile = one.document.model_copy(update={"contract": "1\r\nBcc: x@x.example\x00\u202e"})
    texts = {"subject": "{{ contract }} {{ document.contract }}"}
    found = fill(one.key, "ro", hostile, "Acme", one.today, texts=texts).subject
    assert found.isprintable() and "\n" not in found


def test_what_a_text_says_is_escaped_in_the_mail() -> None:
    one = sample()
    hostile = one.document.model_copy(update={"contract": "<img src=x onerror=alert(1)>"})
    found = mail({"text": "<b>{{ contract }}</b> & co", "button": "<i>"}, Situation(one.key, hostile, BRAND, one.today))
    assert "&lt;b&gt;&lt;img src=x onerror=alert(1)&gt;&lt;/b&gt; &amp; co" in found.html
    assert "<b>" not in found.html and "<img" not in found.html and "<i>" not in found.html
    assert "<b><img src=x onerror=alert(1)></b> & co" in found.text


def test_a_text_of_several_paragraphs_places_the_button() -> None:
    found = mail({"text": "Întâi {{ number }}.\nRând nou.\n\nApoi.\n\n{{ button }}\n\nLa urmă."})
    link = sample().document.links
    assert link is not None
    for body in (found.html, found.text):
        places = [body.index(word) for word in ("Întâi", "Rând nou", "Apoi", link.view, "La urmă")]
        assert places == sorted(places)
    assert (
        re.search(r"Rând nou\.</p>|Rând nou\.\s*</p>", found.html)
        and "Întâi CP-2026-0042.\nRând nou.\n\nApoi." in found.text
    )
    assert found.html.count(link.view) == 1


@pytest.mark.parametrize(
    "text", ["Doar {{ number }}.", "{% if order %}\n{{ button }}\n{% endif %}\nDoar {{ number }}."]
)
def test_a_button_that_was_deleted_from_a_text_is_appended(text: str) -> None:
    found = mail({"text": text})
    link = sample().document.links
    assert link is not None
    for body in (found.html, found.text):
        assert body.index("Doar") < body.index(link.view)
    assert 'href="https://' in found.html and "\x1d" not in found.html + found.text


def test_a_template_without_a_button_takes_none() -> None:
    assert "has no button" in refusal("Mulțumim\n{{ button }}", key="paid_invoice")
    assert "has no button" in refusal("Vedeți", "button", key="paid_invoice")
    assert "cannot hold the button" in refusal("{{ button }}", "subject")


def test_a_document_without_a_link_has_the_text_and_no_button() -> None:
    one = sample()
    bald = Situation(one.key, one.document.model_copy(update={"links": None}), BRAND, one.today)
    found = mail({"text": "Întâi.\n\n{{ button }}\n\nLa urmă."}, bald)
    assert "<a " not in found.html and found.text.index("Întâi.") < found.text.index("La urmă.")


def test_a_text_that_fits_no_document_at_hand_is_refused_when_it_is_rendered() -> None:
    one = bare(sample())
    with pytest.raises(Refused, match="invoice CP-2026-0042 has no due_date") as refused:
        mail({"text": "Până la {{ due_date }}"}, one)
    assert refused.value.reply.enhanced == "5.6.0"


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_variable_of_the_product_is_one_of_the_tenants(code: str) -> None:
    for key in templates():
        for text in language(code).template(key).values():
            for name in re.findall(r"\{(\w+)\}|\[\?(\w+) ", text):
                check_texts("estimate", code, {"text": f"x{{% if {name[0] or name[1]} %}}y{{% endif %}}"})
