"""One message over an open session: MAIL, RCPT, DATA, the message, its dot; an outcome for each recipient.

Called by `smtp_client.Connection.send` alone. RFC 5321 §3.3 and §4.5.2, 2920 (pipelining), 2033 (LMTP), 3461 (DSN).
Promises: an outcome per recipient, in order, whatever happens; RELAYED only for a 2xx that answers the dot.
Refuses, without asking the server, what `smtp_envelope` says it cannot take.
The rule of trust: a reply counts when the server kept in step. Once it is astray (a reply too many, a reply that does
not fit), the refusals read in the same exchange may answer other commands, and all of it is passing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.mail.reply import Reply
from gateway.mail.status import DeliveryStatus
from gateway.outbound.smtp_envelope import commands, readable, refuse, stuff
from gateway.outbound.smtp_terms import Target, Timeouts, Transaction, judge, passing
from gateway.outbound.smtp_wire import Trouble, Wire


@dataclass(slots=True)
class Verdict:
    """What is known of one recipient so far."""

    status: DeliveryStatus
    stage: str
    unclear: bool = False


@dataclass(slots=True)
class Exchange:
    """One transaction on its way: `verdicts` by the recipient's place; who is `open` still hopes."""

    wire: Wire
    target: Target
    timeouts: Timeouts
    extensions: dict[str, str]
    tx: Transaction
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    clean_end: bool = False  # the server holds no transaction of ours: the next MAIL needs no RSET

    async def run(self, reset: bool) -> list[Verdict]:
        """Play it through. `reset`: the server may still hold the last transaction."""
        paths = self._paths()
        if paths:
            envelope = [b"RSET\r\n"] * reset + commands(self.tx, self.extensions, list(paths.values()))
            if "PIPELINING" in self.extensions:
                accepted = await self._pipeline(list(paths), envelope)
            else:
                accepted = await self._step(list(paths), envelope)
            if accepted:
                await self._message(accepted)
        else:
            self.clean_end = not reset
        return [self.verdicts[place] for place in range(len(self.tx.recipients))]

    # -- before a word is said --------------------------------------------------------------------------------------

    def _paths(self) -> dict[int, str]:
        """The recipients to try, as the server can read them; the verdicts of all others."""
        every = range(len(self.tx.recipients))
        if self.wire.trouble:
            self._settle(every, self._lost(self.wire.trouble, "mail"), "mail")
            return {}
        refusal = refuse(self.tx, self.extensions, self.target.label)
        if refusal is not None:
            self._settle(every, refusal, "mail")
            return {}
        paths: dict[int, str] = {}
        for place, recipient in enumerate(self.tx.recipients):
            path = readable(recipient, self.tx.smtputf8, self.target.label)
            if isinstance(path, str):
                paths[place] = path
            else:
                self._settle((place,), path, "rcpt")
        return paths

    # -- the envelope -----------------------------------------------------------------------------------------------

    async def _pipeline(self, places: list[int], envelope: list[bytes]) -> list[int]:
        """All commands in one write (RFC 2920); returns who may have the message."""
        wire, times = self.wire, self.timeouts
        replies = await wire.ask(b"".join(envelope) + b"DATA\r\n", times.command, len(envelope) + 1, times.data)
        if len(envelope) == len(places) + 2 and replies and not self._reset(replies.pop(0), places):
            return []
        if len(replies) < len(places) + 2:
            self._weigh(replies, places)
            self._cut_off(replies, places)
            return []
        if wire.trouble and wire.trouble.astray:
            self._settle(places, self._lost(wire.trouble, "data"), "data")
            return []
        accepted = self._weigh(replies[:-1], places)
        refused_all = all(reply.code >= 400 for reply in replies[1:-1])
        if self._data(replies[-1], places, accepted):
            if accepted:
                return accepted
            await self._lone_dot(refused_all)
        return []

    async def _step(self, places: list[int], envelope: list[bytes]) -> list[int]:
        """The same, a command at a time, for a server without PIPELINING."""
        replies: list[Reply] = []
        resetting = len(envelope) == len(places) + 2
        for command in envelope:
            answer = await self.wire.ask(command, self.timeouts.command)
            if resetting and answer:
                resetting = False
                if not self._reset(answer[0], places):
                    return []
                continue
            replies += answer
            if self.wire.trouble or not answer or answer[0].code == 421:
                break
            if len(replies) == 1 and answer[0].code // 100 != 2:
                self._weigh(replies, places)
                self.clean_end = True
                return []
        accepted = self._weigh(replies, places)
        if len(replies) <= len(places) or self.wire.trouble or replies[-1].code == 421:
            self._cut_off(replies, places)
            return []
        if not accepted:
            return []
        answer = await self.wire.ask(b"DATA\r\n", self.timeouts.data)
        if not answer or (self.wire.trouble and self.wire.trouble.astray):
            self._cut_off(answer, places, "data")
            return []
        return accepted if self._data(answer[0], places, accepted) else []

    def _reset(self, reply: Reply, places: list[int]) -> bool:
        if reply.code // 100 == 2:
            return True
        self._stray(reply, "RSET", places, "mail")
        return False

    def _weigh(self, replies: list[Reply], places: list[int]) -> list[int]:
        """Judge MAIL's and RCPT's replies; returns the accepted. Who has no reply yet stays without verdict."""
        if not replies:
            return []
        mail, host = replies[0], self.target.label
        if mail.code // 100 != 2:
            if mail.code < 400:
                self._stray(mail, "MAIL", places, "mail")
            else:
                self._settle(places, judge(mail, host), "mail")
            return []
        accepted: list[int] = []
        for place, reply in zip(places, replies[1:], strict=False):
            if reply.code // 100 == 2:
                accepted.append(place)
            elif reply.code < 400:
                self._stray(reply, "RCPT", places, "rcpt")
                return []
            else:
                # RFC 5321 §4.5.3.1.10: a bare 552 here means "too many recipients", which passes.
                final = reply.code != 552 or reply.enhanced not in ("", "5.5.3")
                self._settle((place,), judge(reply, host, final=final), "rcpt")
        return accepted

    def _data(self, reply: Reply, places: list[int], accepted: list[int]) -> bool:
        """Judge DATA's reply; true when the server waits for the message."""
        if self.wire.trouble and reply.code < 400:
            self._settle(accepted, self._lost(self.wire.trouble, "data"), "data")
            return False
        if reply.code == 354:
            return True
        if reply.code < 400:
            self._stray(reply, "DATA", places, "data")
        else:
            self._settle(accepted, judge(reply, self.target.label), "data")
        return False

    def _cut_off(self, replies: list[Reply], places: list[int], stage: str = "") -> None:
        """The exchange ended early, by trouble or by a 421: settle who is without verdict, or all if it is astray."""
        trouble = self.wire.trouble
        stage = stage or ("mail" if not replies else "rcpt" if len(replies) <= len(places) else "data")
        if trouble and trouble.astray:
            self._settle(places, self._lost(trouble, stage), stage)
            return
        rest = [place for place in places if place not in self.verdicts]
        if replies and replies[-1].code == 421:
            self._settle(rest, judge(replies[-1], self.target.label), stage)
        else:
            self._settle(rest, self._lost(trouble or Trouble("4.4.2", "no answer"), stage), stage)

    async def _lone_dot(self, refused_all: bool) -> None:
        """The server wants a message for nobody: an empty one ends it (RFC 2920 §3.1), if it is really for nobody."""
        if not refused_all or self.target.lmtp:  # RFC 2033 §4.2: LMTP would answer the dot with nothing
            self.wire.abort()
            return
        await self.wire.ask(b".\r\n", self.timeouts.command)
        self.clean_end = True

    # -- the message ------------------------------------------------------------------------------------------------

    async def _message(self, accepted: list[int]) -> None:
        wire, times = self.wire, self.timeouts
        count = len(accepted) if self.target.lmtp else 1
        replies = await wire.pour(stuff(self.tx.raw), times.body, times.after_dot, count)
        if not wire.sent:
            self._early(replies, accepted)
            return
        self.clean_end = True
        if not self.target.lmtp:
            replies = replies * len(accepted)
        for place, reply in zip(accepted, replies, strict=False):
            self._settle_dot(place, reply)
        rest = accepted[len(replies) :]
        if rest and replies and replies[-1].code == 421:
            self._settle(rest, judge(replies[-1], self.target.label), "dot")
        elif rest:
            trouble = wire.trouble or Trouble("4.4.2", "no answer")
            self._settle(rest, self._lost(trouble, "dot"), "dot", unclear=True)

    def _settle_dot(self, place: int, reply: Reply) -> None:
        trouble = self.wire.trouble
        if reply.code < 400 and reply.code // 100 != 2:
            self._stray(reply, "the message", (place,), "dot", unclear=True)
        else:
            # A reply too many behind a 2xx does not undo it (asking again would only make copies); a refusal with
            # a surplus reply is not sure enough to be final.
            final = not (trouble and trouble.astray)
            self._settle((place,), judge(reply, self.target.label, final=final), "dot")

    def _early(self, replies: list[Reply], accepted: list[int]) -> None:
        """An answer or the end while the message was being written: the dot never left."""
        trouble = self.wire.trouble
        self.wire.abort()
        if replies and replies[0].code >= 400 and not (trouble and trouble.astray):
            # A refusal of the content that did not wait for its end. Of LMTP's many replies it is only the first.
            self._settle(accepted, judge(replies[0], self.target.label, final=not self.target.lmtp), "body")
        elif replies:
            self._stray(replies[0], "a message not yet sent", accepted, "body")
        else:
            self._settle(accepted, self._lost(trouble or Trouble("4.4.2", "no answer"), "body"), "body")

    # -- verdicts ---------------------------------------------------------------------------------------------------

    def _settle(self, places: Sequence[int], status: DeliveryStatus, stage: str, unclear: bool = False) -> None:
        for place in places:
            self.verdicts[place] = Verdict(status, stage, unclear)

    def _stray(self, reply: Reply, what: str, places: Sequence[int], stage: str, unclear: bool = False) -> None:
        """A well-formed reply in the wrong place: passing for all it may concern, and the end of the connection."""
        self._settle(
            places, passing("4.5.0", f"unexpected answer to {what}: {reply}", self.target.label), stage, unclear
        )
        self.wire.abort()

    def _lost(self, trouble: Trouble, stage: str) -> DeliveryStatus:
        return passing(trouble.status, f"{trouble.text} (at {stage.upper()})", self.target.label)
