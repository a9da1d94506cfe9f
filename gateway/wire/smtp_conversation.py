"""What is said on one SMTP (RFC 5321) or LMTP (RFC 2033) connection: the commands, their order and their replies.

The listener of `wire.smtp_server` makes one `Conversation` per connection. It asks the `Doorstep` at each stage and
speaks its refusals; a fault of ours is 451 4.3.0 without a word about it, and the connection goes on. Refuses commands
out of order, AUTH in clear, and whoever makes too many errors. Each command method adds its reply, or raises it.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from gateway.mail.reply import OUR_FAULT, Refused, Reply
from gateway.mail.status import clean
from gateway.wire.smtp_channel import Ended
from gateway.wire.smtp_commands import parse_mail, parse_rcpt
from gateway.wire.smtp_connection import log
from gateway.wire.smtp_input import BARE_LF
from gateway.wire.smtp_login import Login
from gateway.wire.smtp_session import Envelope

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_WEB = re.compile(rb"(?:GET|POST|PUT|HEAD|OPTIONS|CONNECT|DELETE|PATCH|TRACE) \S* ?HTTP/|HOST: ", re.IGNORECASE)
_FAIR_SHARE = 200  # commands of one client before others have their turn
_OK = b"250 2.0.0 OK\r\n"
_TOO_MANY = Reply(421, "4.7.0", "Too many errors; goodbye")


class Conversation(Login):
    """The commands of one connection."""

    _errors = 0
    _junk = 0
    _refused_politely = 0

    async def converse(self) -> None:
        """Greet, obey, until `Ended`."""
        if self.terms.implicit_tls:
            await self.accept_tls()
        await self._greet()
        turns = 0
        while True:
            line = await self.next_line()
            self.working()
            turns += 1
            if turns % _FAIR_SHARE == 0:
                await self.give_way()
            await self._obey(line)

    async def _greet(self) -> None:
        try:
            await self.terms.doorstep.greet(self.visit)
        except Refused as refused:
            self.note("connect", refused.reply)
            self.end(refused.reply)
        except Exception:
            self.fault("greet")
            self.end(Reply(421, "4.3.0", "Something failed on our side; please try again later"))
        await self.give_way()
        if self.spoke_early():  # RFC 5321 §4.3.1; only software that does not listen to us does this
            self.end(Reply(554, "5.5.1", "Wait for the greeting before you speak"))
        protocol = "LMTP" if self.visit.lmtp else "ESMTP"
        self.say_bytes(f"220 {self.terms.hostname} {protocol}\r\n".encode())

    async def _obey(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        verb = word.upper()
        command = (_LMTP_COMMANDS if self.visit.lmtp else _SMTP_COMMANDS).get(verb)
        name = verb.decode() if command is not None else "unknown"
        try:
            if command is None or (rest and _CONTROL.search(rest)):
                self._refuse_line(line, command is not None)
            try:
                text = rest.decode().strip()
            except UnicodeDecodeError:
                raise Refused(501, "5.5.2", "the command is not UTF-8") from None
            await command(self, text)
        except Refused as refused:
            await self.tell(refused.reply)
            self._refuse(name, refused.reply)
        except Ended:
            raise
        except Exception:
            self.fault(name)
            self.say(OUR_FAULT)

    def _refuse_line(self, line: bytes, known: bool) -> NoReturn:
        if _WEB.match(line):
            self.note("web", Reply(554, "5.5.1", "HTTP"))
            self.end(Reply(554, "5.5.1", "This is SMTP, not HTTP"))
        if line == BARE_LF:
            raise Refused(500, "5.5.2", "end every line with CR LF")
        if known or _CONTROL.search(line):
            raise Refused(501 if known else 500, "5.5.2", "a command may not hold control characters")
        raise Refused(500, "5.5.1", "command unknown" if line else "an empty line is not a command")

    def _refuse(self, verb: str, reply: Reply, *, by_doorstep: bool = False) -> None:
        """Speak a refusal, or goodbye when there were too many."""
        self.note(verb, reply)
        if self._is_one_too_many(by_doorstep):
            self.end(_TOO_MANY)
        self.say(reply)

    def _is_one_too_many(self, by_doorstep: bool) -> bool:
        """Count an error. What a doorstep refuses somebody who is logged in is no abuse: it has its own budget."""
        if by_doorstep and self.visit.login is not None:
            self._refused_politely += 1
            return self._refused_politely > self.terms.limits.recipients
        self._errors += 1
        return self._errors >= self.terms.limits.errors

    def _count_junk(self) -> None:
        self._junk += 1
        if self._junk >= self.terms.limits.junk:
            self.end(Reply(421, "4.7.0", "Too many commands without a message; goodbye"))

    # -- greetings ----------------------------------------------------------------------------------------------

    async def smtp_HELO(self, hostname: str) -> None:
        """HELO hostname (RFC 5321 §4.1.1.1), without extensions."""
        self._introduce(hostname, esmtp=False)
        self.say_bytes(f"250 {self.terms.hostname}\r\n".encode())

    async def smtp_EHLO(self, hostname: str) -> None:
        """EHLO hostname; what is offered depends on TLS and on who asks."""
        self._introduce(hostname, esmtp=True)
        offers = [self.terms.hostname, f"SIZE {self.terms.limits.message_bytes}", "8BITMIME", "SMTPUTF8", "PIPELINING"]
        offers += ["ENHANCEDSTATUSCODES", "DSN"]
        if self._may_start_tls():
            offers.append("STARTTLS")
        if self.may_log_in():
            offers.append("AUTH PLAIN LOGIN")
        lines = [f"250-{offer}\r\n" for offer in offers[:-1]]
        self.say_bytes("".join([*lines, f"250 {offers[-1]}\r\n"]).encode())

    async def smtp_LHLO(self, hostname: str) -> None:
        """LHLO hostname (RFC 2033 §4.1)."""
        await self.smtp_EHLO(hostname)

    def _introduce(self, hostname: str, *, esmtp: bool) -> None:
        if self.visit.helo:
            self._count_junk()
        if not hostname or len(hostname) > 255 or not hostname.isascii() or " " in hostname:
            raise Refused(501, "5.5.4", "say who you are: one host name or address literal")
        self.visit.helo, self.visit.esmtp = hostname, esmtp
        self.deal = None

    def _may_start_tls(self) -> bool:
        return self.terms.tls is not None and not self.visit.tls

    async def smtp_STARTTLS(self, arg: str) -> None:
        """STARTTLS (RFC 3207): whatever was said before is forgotten, and whatever follows in clear is thrown away."""
        if arg:
            raise Refused(501, "5.5.4", "STARTTLS takes no argument")
        if self.visit.tls:
            raise Refused(503, "5.5.1", "TLS is already in use")
        if self.terms.tls is None:
            raise Refused(502, "5.5.1", "TLS is not available here")
        self.say_bytes(b"220 2.0.0 Go ahead\r\n")
        await self.start_tls()

    # -- a transaction ------------------------------------------------------------------------------------------

    async def smtp_MAIL(self, arg: str) -> None:
        """MAIL FROM:<path> [parameters] (RFC 5321 §4.1.1.2)."""
        if not self.visit.helo:
            raise Refused(503, "5.5.1", f"say {'LHLO' if self.visit.lmtp else 'EHLO'} first")
        if self.terms.auth_required and self.visit.login is None:
            hint = "log in with AUTH first" if self.may_log_in() else "use STARTTLS and AUTH first"
            raise Refused(530, "5.7.0", f"Authentication required: {hint}")
        if self.deal is not None:
            raise Refused(503, "5.5.1", "a transaction is open; finish it or say RSET")
        if self.leaving is not None:
            self.end(self.leaving)
        envelope = parse_mail(arg, esmtp=self.visit.esmtp, message_bytes=self.terms.limits.message_bytes)
        if await self._ask("MAIL", self.begin(envelope)):
            self.deal = envelope
            self.say_bytes(b"250 2.1.0 OK\r\n")

    async def smtp_RCPT(self, arg: str) -> None:
        """RCPT TO:<path> [parameters] (RFC 5321 §4.1.1.3)."""
        envelope = self.deal
        if envelope is None:
            raise Refused(503, "5.5.1", "MAIL comes first")
        if len(envelope.recipients) >= self.terms.limits.recipients:
            raise Refused(452, "4.5.3", f"A message takes at most {self.terms.limits.recipients} recipients")
        visit = self.visit
        recipient = parse_rcpt(arg, esmtp=visit.esmtp, smtputf8=envelope.smtputf8, hostname=self.terms.hostname)
        if await self._ask("RCPT", self.terms.doorstep.rcpt(visit, envelope, recipient)):
            envelope.recipients.append(recipient)
            self.say_bytes(b"250 2.1.5 OK\r\n")

    async def _ask(self, verb: str, hook: Awaitable[None]) -> bool:
        """Whether the doorstep agrees; when it does not, its refusal is spoken."""
        try:
            await hook
        except Refused as refused:
            await self.tell(refused.reply)
            self._refuse(verb, refused.reply, by_doorstep=True)
            return False
        return True

    async def smtp_DATA(self, arg: str) -> None:
        """DATA (RFC 5321 §4.1.1.4). The answer leaves before another command is looked at."""
        if arg:
            raise Refused(501, "5.5.4", "DATA takes no argument")
        envelope = self.deal
        if envelope is None:
            raise Refused(503, "5.5.1", "MAIL comes first")
        if not envelope.recipients:
            raise Refused(503, "5.5.1", "no valid recipients")
        self.say_bytes(b"354 Go ahead; end with CRLF.CRLF\r\n")
        reader = await self.read_message()
        self.working()
        count = len(envelope.recipients) if self.visit.lmtp else 1
        if reader.refusal is not None:
            await self.tell(reader.refusal)
            replies: Sequence[Reply] = [reader.refusal] * count
        else:
            replies = await self._deliver(envelope, await self.take_message(reader), count)
        self.let_go()
        self._answer_data(replies)
        self.deal = None
        self.flush()

    async def _deliver(self, envelope: Envelope, raw: bytes, count: int) -> Sequence[Reply]:
        try:
            replies = await self.terms.doorstep.data(self.visit, envelope, raw)
            if len(replies) < count:
                raise ValueError(f"data() gave {len(replies)} replies for {count} recipients")
        except Refused as refused:
            return [refused.reply] * count
        except Exception:
            self.fault("DATA")
            return [OUR_FAULT] * count
        return replies[:count]

    def _answer_data(self, replies: Sequence[Reply]) -> None:
        if self.gone():
            log.warning("smtp.unheard", peer=self.visit.host, replies=[clean(str(reply)) for reply in replies[:5]])
        if any(reply.code < 400 for reply in replies):
            self.accepted += 1
            self._errors = self._junk = self._refused_politely = 0
        too_many = False
        for reply in replies:
            self.say(reply)
            if reply.code >= 400 and reply is not OUR_FAULT:
                self.note("DATA", reply)
                too_many = self._is_one_too_many(by_doorstep=True)
        if too_many:
            self.end(_TOO_MANY)

    # -- the rest -----------------------------------------------------------------------------------------------

    async def smtp_RSET(self, arg: str) -> None:
        """Forget the transaction."""
        self.deal = None
        self._count_junk()
        self.say_bytes(_OK)

    async def smtp_NOOP(self, arg: str) -> None:
        """Nothing, politely."""
        self._count_junk()
        self.say_bytes(_OK)

    async def smtp_VRFY(self, arg: str) -> None:
        """Never tells who exists (RFC 5321 §7.3)."""
        self._count_junk()
        self.say_bytes(b"252 2.0.0 Send a message and see\r\n")

    async def smtp_EXPN(self, arg: str) -> None:
        """Not offered."""
        raise Refused(502, "5.5.1", "not offered")

    async def smtp_HELP(self, arg: str) -> None:
        """The commands in one line."""
        self._count_junk()
        known = " ".join(verb.decode() for verb in (_LMTP_COMMANDS if self.visit.lmtp else _SMTP_COMMANDS))
        self.say_bytes(f"214 2.0.0 {known}\r\n".encode())

    async def smtp_QUIT(self, arg: str) -> None:
        """Goodbye."""
        self.end(Reply(221, "2.0.0", "Goodbye"))


_Command = Callable[[Conversation, str], Awaitable[None]]
_COMMON: dict[bytes, _Command] = {
    b"MAIL": Conversation.smtp_MAIL,
    b"RCPT": Conversation.smtp_RCPT,
    b"DATA": Conversation.smtp_DATA,
    b"RSET": Conversation.smtp_RSET,
    b"NOOP": Conversation.smtp_NOOP,
    b"QUIT": Conversation.smtp_QUIT,
    b"STARTTLS": Conversation.smtp_STARTTLS,
    b"AUTH": Conversation.smtp_AUTH,
    b"VRFY": Conversation.smtp_VRFY,
    b"EXPN": Conversation.smtp_EXPN,
    b"HELP": Conversation.smtp_HELP,
}
_SMTP_COMMANDS: dict[bytes, _Command] = {b"EHLO": Conversation.smtp_EHLO, b"HELO": Conversation.smtp_HELO, **_COMMON}
_LMTP_COMMANDS: dict[bytes, _Command] = {b"LHLO": Conversation.smtp_LHLO, **_COMMON}
