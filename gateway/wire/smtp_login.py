"""AUTH on one SMTP connection: PLAIN (RFC 4616) and LOGIN within RFC 4954, with the limits on guessing.

`Login` sits between `Connection` (bytes) and `Conversation` (all other commands). Promises: never in clear unless the
terms allow it to the loopback, one try at a time per client address, no password in any log or reply.
"""

from gateway.mail.reply import Refused, Reply
from gateway.mail.status import clean
from gateway.wire.smtp_channel import Ended
from gateway.wire.smtp_commands import decode_base64, decode_plain, decode_utf8
from gateway.wire.smtp_connection import Connection, log


class Login(Connection):
    """The AUTH command of one connection."""

    _auth_tries = 0

    def may_log_in(self) -> bool:
        """Whether AUTH is allowed at this moment."""
        auth = self.terms.auth
        return auth != "off" and (self.visit.tls or (auth == "loopback" and self.visit.loopback))

    def note(self, command: str, reply: Reply) -> None:
        """Count and log a refusal. `command` must be our own word: what a client sends may be a password."""
        self.refused += 1
        log.info("smtp.refused", peer=self.visit.host, command=command, reply=clean(str(reply)))

    async def smtp_AUTH(self, arg: str) -> None:
        """AUTH mechanism [initial-response]."""
        if self.terms.auth == "off":
            raise Refused(502, "5.5.1", "AUTH is not available here")
        if not self.visit.esmtp:
            raise Refused(503, "5.5.1", "say EHLO first")
        if self.deal is not None:
            raise Refused(503, "5.5.1", "AUTH cannot be used within a transaction")
        if self.visit.login is not None:
            raise Refused(503, "5.5.1", "you are logged in already")
        if not self.may_log_in():
            raise Refused(538, "5.7.11", "Encryption is required: use STARTTLS first")
        mechanism, _, initial = arg.partition(" ")
        if mechanism.upper() == "PLAIN":
            username, password = decode_plain(await self._response(initial, b""))
        elif mechanism.upper() == "LOGIN":
            username = decode_utf8(await self._response(initial, b"VXNlcm5hbWU6"))
            password = decode_utf8(await self._response("", b"UGFzc3dvcmQ6"))
        else:
            raise Refused(504, "5.5.4", "AUTH PLAIN and AUTH LOGIN are understood")
        await self._log_in(username, password)

    async def _response(self, initial: str, challenge: bytes) -> bytes:
        """What the client answers to `challenge` (base64), decoded."""
        answer = initial.strip().encode()
        if not answer:
            self.say_bytes(b"334 " + challenge + b"\r\n")
            self.long_line = True
            answer = await self.next_line()
            self.long_line = False
            self.working()
            if answer == b"*":
                raise Refused(501, "5.7.0", "AUTH was cancelled")
        return b"" if answer == b"=" else decode_base64(answer)

    async def _log_in(self, username: str, password: str) -> None:
        terms, logins = self.terms, self.terms.logins
        async with logins.turn(self.client, username, password):
            if self.gone():
                raise Ended("the client closed the connection")
            wait = logins.wait_seconds(self.client, username, password, terms.limits, self.loop.time())
            if wait:
                self._end_login(f"Too many failed logins from your address; try again in {wait:.0f} s")
            complete = bool(username and password)
            login = await terms.doorstep.authenticate(self.visit, username, password) if complete else None
            if login is None:
                logins.failed(self.client, username, password, self.loop.time())
            else:
                logins.succeeded(self.client, username, password)
        if login is None:
            self._auth_tries += 1
            if self._auth_tries >= terms.limits.auth_tries:
                self._end_login("Wrong username or password, too many times; goodbye")
            raise Refused(535, "5.7.8", "Wrong username or password")
        self.visit.login = login
        self.say_bytes(b"235 2.7.0 Authenticated\r\n")

    def _end_login(self, text: str) -> None:
        reply = Reply(421, "4.7.0", text)
        self.note("AUTH", reply)
        self.end(reply)
