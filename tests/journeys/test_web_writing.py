"""Answering and searching on the pages: an answer leaves in ten seconds or comes back into its form."""

import asyncio
import html
import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from httpx2 import Response
from journeys.inbox_seed import NOW, House, come
from journeys.pages import ORIGIN, Admin
from sqlalchemy import select

from gateway.inbox.indexing import index_threads
from gateway.outbound.queue import find_deliveries
from gateway.store.database import Database
from gateway.store.messages import get_message
from gateway.store.schema import delivery
from gateway.store.search_progress import begin_following
from gateway.store.tenants import list_tenants


def tenant_of(database: Database) -> str:
    return next(one.id for one in database.read_now(list_tenants) if one.slug.startswith("alfa"))


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*? value="([^"]*)"', page)
    assert found, name
    return html.unescape(found[1])


def test_an_answer_goes_to_its_author_and_comes_back_as_a_draft(admin: Admin, house: House, database: Database) -> None:
    thread_id, tenant_id = house.threads["paid"], tenant_of(database)
    page = admin.get(f"/inbox/{thread_id}/reply")
    assert "@" in field(page, "to") and field(page, "subject").startswith("Re:")
    form = {name: field(page, name) for name in ("to", "subject", "message", "seen")}
    where = admin.post(f"/inbox/{thread_id}/reply", **form, text="Mulțumim, am primit plata.", then="closed")
    message_id = parse_qs(urlsplit(where).query)["sent"][0]
    made = database.read_now(get_message, tenant_id, message_id)
    assert made is not None and made.thread_id == thread_id and made.recipients == form["to"]
    waiting = database.read_now(
        lambda tx: tx.first(select(delivery.c.next_attempt_at).where(delivery.c.message_id == message_id))
    )
    assert waiting[0] == int(NOW.timestamp() * 1000) + 10_000
    shown = admin.get(where)
    back = admin.post(f"/inbox/{thread_id}/unsend", message=message_id, back=field(shown, "back"))
    assert "Mulțumim, am primit plata." in admin.get(back)
    states = database.read_now(lambda tx: tx.all(select(delivery.c.state).where(delivery.c.message_id == message_id)))
    assert [row[0] for row in states] == ["cancelled"] and database.read_now(find_deliveries, tenant_id, message_id)
    admin.post(f"/inbox/{thread_id}/unsend", message=message_id, expect=409)


def test_an_answer_that_cannot_go_keeps_its_words(admin: Admin, house: House) -> None:
    thread_id = house.threads["paid"]
    page = admin.post(f"/inbox/{thread_id}/reply", expect=409, to="no address", subject="x", text="Bună ziua, Ana")
    assert "Bună ziua, Ana" in page and 'role="alert"' in page


def send(admin: Admin, thread_id: str, files: list[tuple[str, bytes]], **fields: str) -> Response:
    """The form with its files, as a browser sends it."""
    form = {"csrf": admin.csrf, "how": "one", "text": "Vedeți fișierele.", **fields}
    sent = [("files", (name, content, "application/x-claimed")) for name, content in files]
    return admin.browser.post(
        f"/inbox/{thread_id}/reply", data=form, files=sent or [("files", ("", b"", "application/octet-stream"))],
        headers={"origin": ORIGIN}, follow_redirects=False,
    )  # fmt: skip


def test_files_go_with_an_answer_and_come_back_with_it(admin: Admin, house: House, database: Database) -> None:
    thread_id, tenant_id = house.threads["paid"], tenant_of(database)
    files = [("../Extras de cont.pdf", b"%PDF-1.7 x"), ("preț.exe.csv", b"a;b")]
    where = send(admin, thread_id, files).headers["location"]
    made = database.read_now(get_message, tenant_id, parse_qs(urlsplit(where).query)["sent"][0])
    assert made is not None
    listed = [(one["filename"], one["content_type"]) for one in made.detail["attachments"]]
    assert listed == [("Extras_de_cont.pdf", "application/pdf"), ("pret.exe.csv", "text/csv")]
    assert made.body_text.startswith("Vedeți fișierele.\n\nCu stimă,\nIon Munteanu\nAlfa Consulting SRL")
    back = admin.post(f"/inbox/{thread_id}/unsend", message=made.id)
    page = admin.get(back)
    kept = re.findall(r'name="kept" value="([^"]+)" checked', page)
    assert kept == [f"{made.id}:1", f"{made.id}:2"] and "Vedeți fișierele.</textarea>" in page
    where = send(admin, thread_id, [], kept=kept[0]).headers["location"]
    made = database.read_now(get_message, tenant_id, parse_qs(urlsplit(where).query)["sent"][0])
    assert made is not None and [one["filename"] for one in made.detail["attachments"]] == ["Extras_de_cont.pdf"]


def test_files_that_cannot_go_are_named_and_the_words_stay(admin: Admin, house: House) -> None:
    thread_id = house.threads["paid"]
    answer = send(admin, thread_id, [("act.pdf", b"%PDF-1.7"), ("act.pdf.exe", b"MZ")], then="closed")
    assert answer.status_code == 409 and "fișierul act.pdf.exe este sau conține un program" in answer.text
    assert "<b>act.pdf, act.pdf.exe</b>" in answer.text and "Vedeți fișierele.</textarea>" in answer.text
    assert '<option value="closed" selected>' in answer.text
    assert send(admin, thread_id, [("a.txt", b"x")] * 11).status_code == 409
    assert send(admin, thread_id, [("a.txt", b"x")] * 30).status_code == 400
    assert send(admin, thread_id, [("a.txt", b"x" * 16_000_000)]).status_code == 413
    foreign = f"{house.messages['foreign answer']}:1"
    assert send(admin, thread_id, [], kept=foreign).status_code == 404
    assert send(admin, thread_id, [], csrf="none").status_code == 403


def test_a_tenant_without_signatures_signs_nothing(admin: Admin, house: House, database: Database) -> None:
    thread_id, tenant_id = house.threads["paid"], tenant_of(database)
    assert "<br>Ion Munteanu<br>Alfa Consulting SRL" in admin.get(f"/inbox/{thread_id}/reply")
    form = {"company": "Alfa Consulting SRL", "language": "ro", "timezone": "Europe/Chisinau"}
    admin.post("/settings/company", **form)
    assert "<br>Ion Munteanu" not in admin.get(f"/inbox/{thread_id}/reply")
    where = send(admin, thread_id, []).headers["location"]
    made = database.read_now(get_message, tenant_id, parse_qs(urlsplit(where).query)["sent"][0])
    assert made is not None and made.body_text == "Vedeți fișierele."


def test_an_answer_of_another_tenant_cannot_be_taken_back(admin: Admin, house: House) -> None:
    foreign = house.messages["foreign answer"]
    admin.post(f"/inbox/{house.threads['paid']}/unsend", expect=404, message=foreign)


def test_an_open_list_is_told_what_is_new(admin: Admin, house: House, database: Database) -> None:
    page = admin.get("/inbox?view=replies")
    asked = html.unescape(re.findall(r'hx-get="(/inbox/news[^"]+)"', page)[0])
    assert admin.browser.get(asked).status_code == 204
    later = NOW + timedelta(seconds=5)
    for name in ("paid", "foreign"):
        thread, tenant = house.threads[name], house.other if name == "foreign" else house.tenant
        database.write_now(
            come, house, f"new {name}", later, thread, "person", "Ana <a@b.example>", "Re", "Bună", tenant=tenant
        )
    assert "1 conversație are noutăți" in admin.get(asked) and "view=replies" in admin.get(asked)
    assert admin.browser.get(asked.replace("replies", "snoozed")).status_code == 204
    assert admin.browser.get("/inbox/news?since=x").status_code == 400


def test_a_search_marks_what_it_found_and_is_kept(admin: Admin, house: House, database: Database) -> None:
    database.write_now(begin_following, 120_000)
    asyncio.run(index_threads(database, tenant_of(database), list(house.threads.values())))
    page = admin.get("/inbox/search?q=number:2026-0117")
    assert house.threads["paid"] in page and "Secret" not in page
    admin.post("/inbox/search", q="is:open", name="Deschise")
    page = admin.get("/inbox/search")
    assert "Deschise" in page and "/inbox/search?q=is%3Aopen" in page
    admin.post("/inbox/search", forget=re.findall(r'name="forget" value="(\w+)"', page)[0])
    assert "Deschise" not in admin.get("/inbox/search")
    admin.post("/inbox/search", forget="nothing", expect=404)


def test_a_search_that_makes_no_sense_is_explained(admin: Admin) -> None:
    answer = admin.browser.get("/inbox/search?q=amount:many")
    assert answer.status_code == 400 and "cere o sumă" in answer.text


def test_a_bounced_address_is_put_aside_or_corrected_from_the_worklist(admin: Admin, house: House) -> None:
    page = admin.get("/bounces")
    listed = re.findall(r'name="old" value="([^"]+)"', page)
    assert "facturi@nord.example" in listed and "640,00" in page and "secret" not in page.lower()
    assert "facturi@nord.example" in admin.get("/bounces.csv")
    assert "done=facturi%40nord.example" in admin.post("/bounces", old="facturi@nord.example", action="dismiss")
    assert "facturi@nord.example" not in re.findall(r'name="old" value="([^"]+)"', admin.get("/bounces"))
    admin.post("/bounces", 404, old="facturi@nord.example", action="dismiss")
    admin.post("/bounces", 409, old=listed[0], new="no address", action="correct")
