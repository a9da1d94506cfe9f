"""The tenant's IMAP mailboxes, read for reports and replies to our mail: added, tried, removed; by password or OAuth.

Secrets come in and never go out again. A consent is asked for where anything changed that it was given for.
"""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from gateway.inbox.timeline import msgid
from gateway.mail.reply import Refused
from gateway.outbound import oauth
from gateway.settings.mailbox_oauth import begin_mailbox_consent
from gateway.settings.trials import begin
from gateway.store.mailbox_account import Account, check_account
from gateway.store.mailboxes import Mailbox, add_mailbox, change_mailbox, drop_mailbox, get_mailbox, open_mailbox_secret
from gateway.store.routes import Secret
from gateway.store.trials import drop_trial, get_trial
from gateway.web.settings.mailbox_form import SECURITY, TAKES, read_account, same_application, same_login
from gateway.web.settings.places import Form, Looking, again, show
from gateway.web.settings.server import REDIRECT, RELOAD, STEPS
from gateway.web.site import Visit, need_workshop, site_of

router = APIRouter()
NEW, OAUTH = "new", "oauth"
SET_UP = "this mailbox logs in as the operator of the gateway set it up; ask the operator to change its login"
SHOWN = ("host", "port", "security", "username", "folder", "takes", "after", "since", "provider", "client_id")
AFTER = {
    "leave": msgid("Leave it as it is"),
    "seen": msgid("Mark it as read"),
    "delete": msgid("Delete it there"),
}


@router.get("/settings/mailboxes/{name}")
async def show_mailbox(request: Request, visit: Looking, name: str) -> Response:
    """One mailbox, or the form of a new one."""
    return await mailbox_page(request, visit, name)


async def mailbox_page(
    request: Request, visit: Visit, name: str, problem: Refused | None = None, typed: dict[str, str] | None = None
) -> Response:
    """The page of a mailbox, or of a new one; `problem` is why something was refused, `typed` what asked for it."""
    site = site_of(request)
    box = await site.database.read(get_mailbox, visit.tenant.id, name) if name != NEW else None
    if box is None and name != NEW and problem is None:
        raise HTTPException(404)
    trial = await site.database.read(get_trial, visit.tenant.id, f"mailbox/{name}") if box else None
    account = box.account if box else Account(host="", username="")
    values = {one: str(getattr(account, one)) for one in SHOWN} | {"name": box.name if box else ""}
    values |= {one: text for one, text in (typed or {}).items() if one in values}
    runs = trial is not None and trial.runs(site.clock())
    page = show(
        request, "mailbox", box=box, trial=trial, runs=runs, values=values, security=SECURITY, takes=TAKES,
        after=AFTER, steps=STEPS, redirect=f"{need_workshop(request).public_url}{REDIRECT}", problem=problem,
    )  # fmt: skip
    if runs:
        page.headers["refresh"] = RELOAD
    return page


@router.post("/settings/mailboxes/{name}")
async def change(request: Request, visit: Looking, form: Form, name: str) -> Response:
    """Keep it; it is looked at at once. With OAuth a person must allow it first, where anything of that changed."""
    site = site_of(request)
    box = await site.database.read(get_mailbox, visit.tenant.id, name) if name != NEW else None
    if box is None and name != NEW:
        raise HTTPException(404)
    wanted = box.name if box else form.get("name", "").strip().lower()
    try:
        if not box and wanted == NEW:
            raise Refused(501, "5.5.4", f"{wanted!r} cannot be a mailbox's name; use 1-60 of a-z, 0-9 and . _ @ + -")
        account = read_account(form, box)
        check_account(wanted, account)
        if account.grant == oauth.CLIENT and not same_login(box, account):
            raise Refused(550, "5.7.1", SET_UP)
        if account.auth == OAUTH and (form.get("connect") == "yes" or not same_login(box, account)):
            return await _ask(request, visit, wanted, account, form, box)
        secret = None if account.auth == OAUTH else _secret(form, box, account)
        await _keep(request, visit, wanted, account, secret, box)
    except Refused as refused:
        return await mailbox_page(request, visit, name, refused, form)
    return again(f"/settings/mailboxes/{wanted}")


async def _keep(
    request: Request, visit: Visit, name: str, account: Account, secret: Secret | None, box: Mailbox | None
) -> None:
    now, seal, database = site_of(request).clock(), need_workshop(request).seal, site_of(request).database
    if box is not None:
        await database.write(change_mailbox, now, seal, visit.tenant.id, name, account, secret)
    elif secret is not None:
        await database.write(add_mailbox, now, seal, visit.tenant.id, name, account, secret)


async def _ask(
    request: Request, visit: Visit, name: str, account: Account, form: dict[str, str], box: Mailbox | None
) -> Response:
    """Send the browser to the provider, where a person allows it."""
    site, workshop = site_of(request), need_workshop(request)
    if box is None and await site.database.read(get_mailbox, visit.tenant.id, name) is not None:
        raise Refused(550, "5.7.1", f"there is a mailbox {name!r} already; change it with `gateway mailbox set`")
    secret = Secret(client_secret=form.get("client_secret", "").strip()[:1000])
    if not secret.client_secret and box is not None and same_application(box, account):
        kept = await site.database.read(open_mailbox_secret, workshop.seal, visit.tenant.id, name)
        secret = Secret(client_secret=kept.client_secret)
    begun = await site.database.write(
        begin_mailbox_consent, site.clock(), workshop.seal, visit.tenant.id, name, account, secret,
        f"{workshop.public_url}{REDIRECT}",
    )  # fmt: skip
    return RedirectResponse(begun.url, 303)


def _secret(form: dict[str, str], box: Mailbox | None, account: Account) -> Secret | None:
    """The password of the form; left empty, the one that is kept, for the same account only."""
    password = form.get("password", "")[:1000]
    if password:
        return Secret(password=password)
    known = box.account if box else None
    same = known and (known.host, known.username, known.auth) == (account.host, account.username, account.auth)
    if not same:  # else whoever names another host would be sent the password
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
