"""How a session with a server begins: dial, greeting, EHLO, STARTTLS, AUTH (RFC 5321 §3.1-3.2, 3207, 4954, 2033).

Called by `smtp_client.connect` alone. Every way it can fail is raised as `Ended` with a passing `DeliveryStatus`: here
a 5xx concerns the server or us, never a recipient.
Refuses to say a password or send mail where TLS was required and its handshake did not succeed.
"""

import asyncio
import json
import socket
import ssl
from base64 import b64decode, b64encode
from dataclasses import replace
from functools import lru_cache

from gateway.mail.reply import Reply
from gateway.mail.status import Action, DeliveryStatus, clean
from gateway.outbound.smtp_replies import parse_extensions
from gateway.outbound.smtp_terms import Login, Target, Timeouts, judge, passing
from gateway.outbound.smtp_tls import INVALID, NO_STARTTLS, explain, tls_failure
from gateway.outbound.smtp_wire import Trouble, Wire


class Ended(Exception):
    """The session could not be opened; carries why."""

    def __init__(self, status: DeliveryStatus) -> None:
        self.status = status
        super().__init__(status.words)


async def dial(target: Target, timeouts: Timeouts, context: ssl.SSLContext | None) -> Wire:
    """A connected wire, with TLS already when it is implicit. Raises `Ended` 4.4.1 when nobody answers."""
    loop = asyncio.get_running_loop()
    source = (target.source, 0) if target.source else None
    try:
        async with asyncio.timeout(timeouts.connect):
            _, wire = await loop.create_connection(
                lambda: Wire(loop),
                target.address,
                target.port,
                local_addr=source,
                flags=socket.AI_NUMERICHOST,  # an address, never a name: names are the business of mx
            )
    except TimeoutError as error:
        words = f"no connection within {timeouts.connect:g} s"
        raise Ended(passing("4.4.1", words, target.label)) from error
    except (OSError, ValueError) as error:
        raise Ended(passing("4.4.1", f"no connection: {explain(error)}", target.label)) from error
    if target.tls == "implicit":
        await _shake(wire, target, timeouts, context)
    return wire


async def introduce(
    wire: Wire, target: Target, timeouts: Timeouts, context: ssl.SSLContext | None
) -> tuple[str, dict[str, str]]:
    """From the greeting to the last AUTH: (the server's own name, its extensions). Raises `Ended`."""
    greeting = _answer(await wire.greeting(timeouts.greeting), wire, target, "the greeting", 220)
    server = greeting.text.partition(" ")[0].partition("\n")[0]
    extensions = await _hello(wire, target, timeouts)
    if target.tls in ("opportunistic", "required") and await _upgrade(wire, target, timeouts, context, extensions):
        extensions = await _hello(wire, target, timeouts)  # what was said in clear is forgotten: RFC 3207 §4.2
    if target.login is not None:
        await _log_in(wire, target, target.login, extensions, timeouts)
    return clean(server, 255), extensions


async def _hello(wire: Wire, target: Target, timeouts: Timeouts) -> dict[str, str]:
    verb = "LHLO" if target.lmtp else "EHLO"
    replies = await wire.ask(f"{verb} {target.helo}\r\n".encode("ascii"), timeouts.command)
    if replies and replies[0].code // 100 == 5 and not target.lmtp and wire.alive:
        replies = await wire.ask(f"HELO {target.helo}\r\n".encode("ascii"), timeouts.command)
        _answer(replies, wire, target, "HELO", 250)
        return {}
    return parse_extensions(_answer(replies, wire, target, verb, 250))


async def _upgrade(
    wire: Wire, target: Target, timeouts: Timeouts, context: ssl.SSLContext | None, extensions: dict[str, str]
) -> bool:
    """STARTTLS; false when the connection goes on in plain, which only an opportunistic target without login may."""
    may_go_plain = target.tls == "opportunistic" and (target.login is None or target.login.cleartext)
    if "STARTTLS" not in extensions:
        if may_go_plain:
            return False
        raise Ended(tls_failure("TLS is required, and the server does not offer STARTTLS", target.label, NO_STARTTLS))
    replies = await wire.ask(b"STARTTLS\r\n", timeouts.command)
    if may_go_plain and wire.alive and replies and replies[0].code // 100 in (4, 5) and replies[0].code != 421:
        return False  # "454 TLS not available" is a server's mishap; whoever could forge it could hide the offer too
    if replies and replies[0].code == 220 and wire.trouble:
        astray = "plaintext behind STARTTLS's 220, as in an injection attack (CVE-2011-0411)"
        words = astray if wire.trouble.astray else f"TLS failed: {wire.trouble.text}"
        raise Ended(tls_failure(words, target.label, INVALID))
    if target.policy and wire.alive and replies and replies[0].code // 100 in (4, 5) and replies[0].code != 421:
        raise Ended(tls_failure(f"the server refuses STARTTLS: {replies[0]}", target.label, NO_STARTTLS))
    _answer(replies, wire, target, "STARTTLS", 220)
    await _shake(wire, target, timeouts, context)
    return True


async def _shake(wire: Wire, target: Target, timeouts: Timeouts, context: ssl.SSLContext | None) -> None:
    context = context or target.trust or default_context(target.verified)
    if target.verified and (context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname):
        raise ValueError("a verified target needs an SSL context that verifies")
    name = target.server_name or target.host or target.address
    await wire.start_tls(context, name.strip("[]").rstrip("."), timeouts.tls)
    if wire.trouble:
        raise Ended(_trouble(wire.trouble, target, "the handshake"))
    flaw = target.proof(wire.chain()) if target.proof is not None else None
    if flaw is not None:
        raise Ended(tls_failure(flaw[1], target.label, flaw[0]))


async def _log_in(wire: Wire, target: Target, login: Login, extensions: dict[str, str], timeouts: Timeouts) -> None:
    if not wire.tls and not login.cleartext:
        raise Ended(passing("4.7.0", "no password is said without TLS", target.label, "auth_failed"))
    steps = auth_steps(login, target, extensions.get("AUTH", "").upper().split())
    for step in steps[:-1]:
        replies = await wire.ask(step + b"\r\n", timeouts.command)
        _answer(replies, wire, target, "AUTH", 334, "auth_failed")
    replies = await wire.ask(steps[-1] + b"\r\n", timeouts.command)
    if login.mechanism == "BEARER" and replies and replies[0].code == 334 and wire.alive:
        # RFC 7628 §3.2.3: the server explains in JSON, and says 535 when we have answered with a dummy.
        why = bearer_error(replies[0].text)
        dummy = b"AQ==" if steps[-1].startswith(b"AUTH OAUTHBEARER") else b""
        replies = await wire.ask(dummy + b"\r\n", timeouts.command)
        replies = [replace(reply, text=f"{reply.text} ({why})") for reply in replies[:1]] + replies[1:]
    _answer(replies, wire, target, "AUTH", 235, "auth_failed")


def auth_steps(login: Login, target: Target, offered: list[str]) -> list[bytes]:
    """The lines that log us in by what the server offers (RFC 4954, 4616, 7628). Raises `Ended` when it offers none."""
    user, secret = login.username, login.password
    if login.mechanism == "BEARER":
        if "OAUTHBEARER" in offered:
            host = target.host.strip("[]").rstrip(".")
            name = user.replace("=", "=3D").replace(",", "=2C")  # RFC 5801 §4, saslname
            words = f"n,a={name},\1host={host}\1port={target.port}\1auth=Bearer {secret}\1\1"
            return [b"AUTH OAUTHBEARER " + b64encode(words.encode())]
        if "XOAUTH2" in offered:
            return [b"AUTH XOAUTH2 " + b64encode(f"user={user}\1auth=Bearer {secret}\1\1".encode())]
        wanted = "AUTH OAUTHBEARER nor XOAUTH2"
    else:
        if "PLAIN" in offered:
            return [b"AUTH PLAIN " + b64encode(f"\0{user}\0{secret}".encode())]
        if "LOGIN" in offered:
            return [b"AUTH LOGIN", b64encode(user.encode()), b64encode(secret.encode())]
        wanted = "AUTH PLAIN nor LOGIN"
    words = f"the server offers neither {wanted}" + (f", only {' '.join(offered)}" if offered else "")
    raise Ended(passing("4.7.0", words, target.label, "auth_failed"))


def bearer_error(text: str) -> str:
    """The server's reason for refusing a token, from the base64 JSON of its 334; never the token itself."""
    try:
        found = json.loads(b64decode(text.encode("ascii"), validate=True))
        known = [str(found[name]) for name in ("status", "error", "error_description") if found.get(name)]
    except (ValueError, AttributeError):
        return "token refused"
    return clean(", ".join(known), 200) or "token refused"


def _answer(replies: list[Reply], wire: Wire, target: Target, what: str, good: int, reason: str = "") -> Reply:
    """The one reply, if it is the good one and the server kept in step; else raises `Ended` with its words."""
    if replies and not (wire.trouble and wire.trouble.astray):
        reply = replies[0]
        if reply.code == good and wire.alive:
            return reply
        if reply.code // 100 in (4, 5):
            # A login refused for now (454, 421) says nothing about the password.
            why = reason if reply.code // 100 == 5 else ""
            raise Ended(judge(reply, target.label, final=False).because(why))
        if wire.alive:
            raise Ended(passing("4.5.0", f"unexpected answer to {what}: {reply}", target.label))
    raise Ended(_trouble(wire.trouble or Trouble("4.4.2", "no answer"), target, what))


def _trouble(trouble: Trouble, target: Target, what: str) -> DeliveryStatus:
    words = f"{trouble.text} (at {what})"
    if trouble.status == "4.7.5":
        return tls_failure(words, target.label, trouble.fault or INVALID)
    return DeliveryStatus(Action.DELAYED, trouble.status, 0, clean(words), target.label, "unreachable")


@lru_cache(2)
def default_context(verify: bool) -> ssl.SSLContext:
    """TLS 1.2 or later; `verify`: against the system's authorities, and the name must fit."""
    context = ssl.create_default_context()
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
