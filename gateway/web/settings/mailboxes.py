"""The tenant's IMAP mailboxes, read for reports and replies to our mail: added, tried, removed."""

from dataclasses import replace

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.timeline import msgid
from gateway.mail.reply import Refused
from gateway.settings.trials import begin
from gateway.store.mailbox_account import ALL, OURS, Account, check_account
from gateway.store.mailboxes import Mailbox, add_mailbox, change_mailbox, drop_mailbox, get_mailbox
from gateway.store.routes import Secret
from gateway.store.trials import drop_trial, get_trial
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.settings.server import RELOAD, STEPS
from gateway.web.site import Visit, need_workshop, site_of

router = APIRouter()
NEW = "new"
SECURITY = {"tls": msgid("TLS from the start (port 993)"), "starttls": msgid("STARTTLS (port 143)")}
TAKES = {OURS: msgid("Only reports and replies to our mail"), ALL: msgid("All mail")}
AFTER = {
    "leave": msgid("Leave it as it is"),
    "seen": msgid("Mark it as read"),
    "delete": msgid("Delete it there"),
}


@router.get("/settings/mailboxes/{name}")
async def show_mailbox(request: Request, visit: Looking, name: str) -> Response:
    """One mailbox, or the form of a new one."""
    return await _page(request, visit, name)


async def _page(
    request: Request, visit: Visit, name: str, problem: Refused | None = None, typed: dict[str, str] | None = None
) -> Response:
    site = site_of(request)
    box = await site.database.read(get_mailbox, visit.tenant.id, name) if name != NEW else None
    if box is None and name != NEW:
        raise HTTPException(404)
    trial = await site.database.read(get_trial, visit.tenant.id, f"mailbox/{name}") if box else None
    account = box.account if box else Account(host="", username="")
    values = {one: str(getattr(account, one)) for one in ("host", "port", "security", "username", "folder", "takes",
                                                          "after", "since")}  # fmt: skip
    values |= {"name": box.name if box else ""}
    values |= {one: text for one, text in (typed or {}).items() if one in values}
    runs = trial is not None and trial.runs(site.clock())
    page = show(
        request, "mailbox", box=box, trial=trial, runs=runs, values=values, security=SECURITY, takes=TAKES,
        after=AFTER, steps=STEPS, problem=problem,
    )  # fmt: skip
    if runs:
        page.headers["refresh"] = RELOAD
    return page


@router.post("/settings/mailboxes/{name}")
async def change(request: Request, visit: Looking, form: Form, name: str) -> Response:
    """Keep it; it is looked at at once."""
    site, workshop = site_of(request), need_workshop(request)
    box = await site.database.read(get_mailbox, visit.tenant.id, name) if name != NEW else None
    if box is None and name != NEW:
        raise HTTPException(404)
    wanted = box.name if box else form.get("name", "").strip().lower()
    try:
        if not box and wanted == NEW:
            raise Refused(501, "5.5.4", f"{wanted!r} cannot be a mailbox's name; use 1-60 of a-z, 0-9 and . _ @ + -")
        account = _account(form, box)
        check_account(wanted, account)
        secret = _secret(form, box, account)
        keep = change_mailbox if box else add_mailbox
        await site.database.write(
            keep,
            site.clock(),
            workshop.seal,
            visit.tenant.id,
            wanted,
            account,
            secret,  # type: ignore[arg-type]
        )
    except Refused as refused:
        return await _page(request, visit, name, refused, form)
    return again(f"/settings/mailboxes/{wanted}")


def _account(form: dict[str, str], box: Mailbox | None) -> Account:
    """The account of a form. Raises HTTPException 400 for what its lists do not offer."""
    port, security = form.get("port", "").strip(), form.get("security", "tls")
    if security not in SECURITY or form.get("takes") not in TAKES or (port and not port.isdecimal()):
        raise HTTPException(400)
    account = box.account if box else Account(host="", username="")
    after = form.get("after", "leave") if form.get("after") in AFTER else account.after
    return replace(
        account, host=form.get("host", "").strip().lower(), port=int(port[:6] or (993 if security == "tls" else 143)),
        security=security, username=form.get("username", "").strip(), folder=form.get("folder", "").strip() or "INBOX",
        takes=form["takes"], after=after, move_to=account.move_to if after == "move" else "",
        since=form.get("since", "").strip(),
    )  # fmt: skip


def _secret(form: dict[str, str], box: Mailbox | None, account: Account) -> Secret | None:
    """The password of the form; left empty, the one that is kept, for the same account only."""
    password = form.get("password", "")[:1000]
    if password:
        return Secret(password=password)
    if box is None or (box.account.host, box.account.username) != (account.host, account.username):
        raise Refused(501, "5.5.4", "the password is empty")
    return None


@router.post("/settings/mailboxes/{name}/test")
async def test(request: Request, visit: Looking, form: Form, name: str) -> Response:
    """Log in and look around; nothing is changed there."""
    site, workshop = site_of(request), need_workshop(request)
    box = await site.database.read(get_mailbox, visit.tenant.id, name)
    if box is None:
        raise HTTPException(404)
    by = visit.session.user.email
    await begin(workshop, visit.tenant.id, f"mailbox/{name}", by, site.clock, workshop.try_mailbox(box))
    return RedirectResponse(f"/settings/mailboxes/{name}", 303)


@router.post("/settings/mailboxes/{name}/remove")
async def remove(request: Request, visit: Looking, form: Form, name: str) -> Response:
    """Read it no more; what was taken stays."""
    database = site_of(request).database
    if not await database.write(drop_mailbox, visit.tenant.id, name):
        raise HTTPException(404)
    await database.write(drop_trial, visit.tenant.id, f"mailbox/{name}")
    return again("/settings/delivery", "removed")
