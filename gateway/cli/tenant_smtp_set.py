"""`gateway tenant smtp set`: an account by password or by OAuth, whose consent is given in a browser.

Loaded by `gateway.cli.tenant_smtp`. Secrets come from standard input or a prompt, never from an argument, which every
process of the machine could read; none is printed.
"""

import sys
from pathlib import Path
from typing import Any

import click

from gateway.cli.common import Context, json_option, pass_context, plain, told, utc_now, working
from gateway.cli.loopback import wait_for_answer
from gateway.mail.reply import Refused
from gateway.outbound import oauth
from gateway.outbound.server_account import begin_server_consent, keep_server, make_server, redeem, with_oauth
from gateway.store.database import to_ms
from gateway.store.routes import FALLBACK, SECURITY, Secret, Server, check_server, take_consent
from gateway.store.tenants import Tenant

REDIRECT_PORT = 8765
LISTEN_SECONDS = 300.0


@click.command("set")
@click.argument("slug")
@click.option("--host", default="", help="The server; known for google and microsoft.")
@click.option("--port", type=int, default=0, help="587, or 465 with --security tls, when left out.")
@click.option("--security", type=click.Choice(SECURITY), default=None, help="How TLS begins; starttls when left out.")
@click.option("--username", default="", help="The account; usually the mail address.")
@click.option("--address", default="", help="The author of all mail; the username when that is an address.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@click.option("--no-login", is_flag=True, help="The server wants no login.")
@click.option("--trust", type=click.Path(exists=True, dir_okay=False), default=None,
              help="A PEM file: certificates to believe beside the system's.")  # fmt: skip
@click.option("--connections", type=int, default=3, show_default=True, help="At once, at most.")
@click.option("--fallback", type=click.Choice(FALLBACK), default="off", show_default=True,
              help="When it fails: wait, or send from the shared address after 30 minutes, or at once.")  # fmt: skip
@click.option("--oauth", "provider", type=click.Choice([*oauth.PROVIDERS, "custom"]), default=None,
              help="Log in by OAuth 2 instead of a password.")  # fmt: skip
@click.option("--client-id", default="", help="Of the application that is registered with the provider.")
@click.option("--client-secret-stdin", is_flag=True, help="Read the application's secret from standard input.")
@click.option("--client-credentials", is_flag=True, help="The application itself is allowed to send: no browser.")
@click.option("--directory", default="common", show_default=True, help="Microsoft: the company's directory.")
@click.option("--authorize-url", default="", help="Of a custom provider.")
@click.option("--token-url", default="", help="Of a custom provider.")
@click.option("--scope", default="", help="What to ask a custom provider for.")
@click.option("--redirect-port", type=int, default=REDIRECT_PORT, show_default=True,
              help="Of http://localhost, where the provider sends the browser back to.")  # fmt: skip
@click.option("--listen", is_flag=True, help="Wait there for the browser, when it runs on this machine.")
@click.option("--code", default="", help="The address that the browser ended at, to finish a consent; - asks for it.")
@click.option("--later", is_flag=True, help="Keep it, and go on sending as before: gateway tenant set --sending own.")
@json_option
@pass_context
def set_(context: Context, /, slug: str, code: str, later: bool, as_json: bool, **given: Any) -> None:
    """Send all mail of a tenant through its own SMTP server, with its address as the author."""
    tenant = context.tenant(slug)
    if code:
        _finish(context, tenant, _ask_for(code), as_json)
        return
    server, secret = _server(given), _secret(given)
    check_server(server)
    if server.grant == oauth.CODE:
        _begin(context, tenant, server, secret, given, later, as_json)
        return
    if server.grant == oauth.CLIENT:
        secret = _token(server, secret)
    _keep(context, tenant, server, secret, later, as_json)


def _server(given: dict[str, Any]) -> Server:
    known = oauth.PROVIDERS.get(given["provider"] or "")
    if not (given["host"] or known) or not (given["username"] or given["no_login"]):
        raise click.UsageError("give --host and --username (or --no-login); see --help")
    if "@" not in (given["address"] or given["username"]):
        raise click.UsageError("the username is no mail address; say with --address whom the mail comes from")
    made = make_server(
        host=given["host"], port=given["port"], security=given["security"] or "", username=given["username"],
        address=given["address"], provider=given["provider"] or "", login=not given["no_login"],
        connections=given["connections"], fallback=given["fallback"],
        trusted=Path(given["trust"]).read_text("ascii") if given["trust"] else "",
    )  # fmt: skip
    if not given["provider"]:
        return made
    if not given["client_id"]:
        raise click.UsageError("give --client-id, of an application that is registered with the provider")
    grant = oauth.CLIENT if given["client_credentials"] else oauth.CODE
    return with_oauth(
        made, given["provider"], given["client_id"], grant, directory=given["directory"], scope=given["scope"],
        authorize_url=given["authorize_url"], token_url=given["token_url"],
    )  # fmt: skip


def _secret(given: dict[str, Any]) -> Secret:
    """Secrets come from standard input or a prompt: an argument would be seen by every process."""
    if given["provider"]:
        needed = given["client_credentials"] or given["client_secret_stdin"]
        return Secret(client_secret=_read("Client secret", given["client_secret_stdin"]) if needed else "")
    if given["no_login"]:
        return Secret()
    return Secret(password=_read("Password", given["password_stdin"]))


def _read(what: str, from_stdin: bool) -> str:
    text = sys.stdin.readline().rstrip("\r\n") if from_stdin else str(click.prompt(what, hide_input=True, err=True))
    if not text:
        raise click.ClickException(f"the {what.lower()} is empty")
    return text


def _ask_for(code: str) -> str:
    return str(click.prompt("The address that the browser ended at", err=True)) if code == "-" else code


# -- consents


def _begin(
    context: Context, tenant: Tenant, server: Server, secret: Secret, given: dict[str, Any], later: bool, as_json: bool
) -> None:
    redirect = f"http://localhost:{given['redirect_port']}/"
    begun = context.write(
        begin_server_consent, utc_now(), context.seal, tenant.id, server, secret, redirect, later=later
    )
    if not given["listen"]:
        text = (
            f"open this address as {server.username}, and allow it:\n\n{begun.url}\n\nThe browser ends at {redirect}…, "
            f"which may show nothing; then, within half an hour:\n  gateway tenant smtp set {tenant.slug} --code -"
        )
        told(as_json, text, tenant=tenant.slug, open=begun.url, redirect=redirect)
        return
    click.echo(f"open this address as {server.username}, and allow it:\n\n{begun.url}\n", err=True)
    try:
        with working("waiting for the browser"):
            answer = wait_for_answer(given["redirect_port"], LISTEN_SECONDS)
    except OSError as error:
        raise click.ClickException(f"port {given['redirect_port']} cannot be used: {error.strerror}") from None
    if not answer:
        raise click.ClickException("the browser did not come back; finish with --code, or begin again")
    _finish(context, tenant, answer, as_json)


def _finish(context: Context, tenant: Tenant, answer: str, as_json: bool) -> None:
    code, state = oauth.read_answer(answer)
    flow = context.write(take_consent, to_ms(utc_now()), context.seal, tenant.id, state)
    server, secret = redeem(flow, code, utc_now())
    _keep(context, tenant, server, secret, bool(flow["later"]), as_json)


def _token(server: Server, secret: Secret) -> Secret:
    try:
        return oauth.renew(server, secret, utc_now())
    except oauth.OAuthRefused as refused:
        raise Refused(550, "5.7.8", refused.words) from None


# -- keeping


def _keep(context: Context, tenant: Tenant, server: Server, secret: Secret, later: bool, as_json: bool) -> None:
    kept = context.write(keep_server, utc_now(), context.seal, tenant.id, server, secret, later=later)
    use = f"{tenant.slug} goes on as before; use it with: gateway tenant set {tenant.slug} --sending own"
    if not later:
        use = f"from its next message on, all mail of {tenant.slug} goes through it as {server.address}"
    text = f"{server.host}:{server.port} is kept; {use}\nnext: gateway tenant smtp test {tenant.slug}"
    told(as_json, text, tenant=tenant.slug, in_use=not later, server=plain(kept))
