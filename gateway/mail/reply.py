"""What we say to whoever hands us mail, and the one exception that crosses rooms.

`Refused` carries the `Reply` to speak: SMTP says it, HTTP maps it, the CLI prints it.
Its text is for a person who reads a log: it names what is wrong and what to do.
Anything else that is raised is a bug of ours and becomes 451 4.3.0 at the doorstep.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: `code` (RFC 5321 §4.2), `enhanced` status (RFC 3463, may be ""), `text` (may hold newlines)."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        """The reply on one line, as it is logged: `550 5.1.1 no such user`."""
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)

    def lines(self) -> list[str]:
        """The reply as it goes on the wire, without CRLF; further lines repeat the code (RFC 5321 §4.2.1)."""
        texts = [line.strip() for line in self.text.replace("\r", "\n").split("\n") if line.strip()] or ["OK"]
        prefix = f"{self.enhanced} " if self.enhanced else ""
        last = len(texts) - 1
        return [f"{self.code}{' ' if i == last else '-'}{prefix}{text[:900]}" for i, text in enumerate(texts)]


class Refused(Exception):
    """They are wrong, or must wait. Carries the reply to speak; never raised for a fault of ours."""

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        self.reply = Reply(code, enhanced, text)
        super().__init__(str(self.reply))

    def __reduce__(self) -> tuple[type["Refused"], tuple[int, str, str]]:
        """Pickled by its reply: it crosses the pipe of a worker process."""
        return type(self), (self.reply.code, self.reply.enhanced, self.reply.text)


# A fault of ours, whatever it was: passing, and without exception text (security rule 1).
OUR_FAULT = Reply(451, "4.3.0", "Something failed on our side; nothing was stored, please try again")
