"""What DNS says, collected for somebody who judges: a judge is pure and asks `Seen`; what it lacks is asked and told.

Used by `outbound.domain_check` and its neighbours (the judges) and by `outbound.domain_watch` and the CLI (who look).
`look` runs the judge, asks what it missed, and runs it again until it misses nothing: so an SPF record's includes are
followed without a line of networking in the judge. Bounded in rounds and questions. A name of RFC 6761 (`.test`,
`.example`) is never asked of the public DNS, which would answer that there is none: nobody knows, and nothing follows.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.outbound.dns_questions import NoSuchName, Questions, Silent, reverse_name
from gateway.outbound.https import Unfetched
from gateway.outbound.mta_sts import fetch_policy

T = TypeVar("T")

ROUNDS = 25
MOST_QUESTIONS = 150
MOST_RECORDS = 50  # of one answer
AT_ONCE = 8
STS_SECONDS = 15.0
POLICY = "STS"  # not a record: the policy file of a domain, fetched over HTTPS

_RESERVED = ("test", "example", "invalid", "localhost", "local", "example.com", "example.net", "example.org")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question brought. `records`: texts, `10 mx.example` for MX; `words`: why nobody knows, else ""."""

    records: tuple[str, ...] = ()
    exists: bool = True  # False: there is no such name at all
    words: str = ""

    @property
    def known(self) -> bool:
        """Whether DNS answered, be it that there is nothing."""
        return not self.words


_ASKED_LATER = Answer(words="not asked yet")


@dataclass(slots=True)
class Seen:
    """All answers so far. What is asked for and not there stands in `missing`, and counts as unknown until then."""

    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    missing: set[tuple[str, str]] = field(default_factory=set)

    def ask(self, name: str, kind: str) -> Answer:
        """The answer to a question; kind is TXT, MX, A, AAAA, PTR (of an address), or POLICY."""
        key = (name.lower().rstrip("."), kind)
        found = self.answers.get(key)
        if found is None:
            self.missing.add(key)
            return _ASKED_LATER
        return found

    def addresses(self, name: str) -> tuple[tuple[str, ...], bool]:
        """(the addresses of a host, whether DNS answered for both families)."""
        both = [self.ask(name, kind) for kind in ("A", "AAAA")]
        return tuple(one for answer in both for one in answer.records), all(answer.known for answer in both)


def is_reserved(name: str) -> bool:
    """Whether the public DNS never has this name (RFC 6761, RFC 2606, RFC 6762)."""
    bare = name.lower().rstrip(".")
    return any(bare == one or bare.endswith(f".{one}") for one in _RESERVED)


async def look(ask: Callable[[str, str], Awaitable[Answer]], judge: Callable[[Seen], T]) -> T:
    """What the judge says once it has seen all it asks for, or as much as is allowed."""
    seen, limit = Seen(), asyncio.Semaphore(AT_ONCE)

    async def one(key: tuple[str, str]) -> None:
        async with limit:
            seen.answers[key] = await ask(*key)

    for _ in range(ROUNDS):
        seen.missing.clear()
        verdict = judge(seen)
        if not seen.missing:
            return verdict
        for key in sorted(seen.missing)[max(0, MOST_QUESTIONS - len(seen.answers)) :]:
            seen.answers[key] = Answer(words="too many questions")
        await asyncio.gather(*(one(key) for key in sorted(seen.missing) if key not in seen.answers))
    return judge(seen)


class Asker:
    """Answers by DNS. `find`: addresses that may be dialled for a host; `inner`: our resolver knows reserved names."""

    def __init__(
        self, questions: Questions, find: Callable[[str], Awaitable[tuple[str, ...]]], *, inner: bool = False
    ) -> None:
        self._questions = questions
        self._find = find
        self._inner = inner

    async def __call__(self, name: str, kind: str) -> Answer:
        """One answer; never raises for what DNS says."""
        if is_reserved(name) and not self._inner:
            return Answer(words=f"{name} is a name that public DNS never has")
        try:
            if kind == POLICY:
                return Answer(((await fetch_policy(name, self._find, seconds=STS_SECONDS))[1],))
            if kind == "TXT":
                return Answer(tuple((await self._questions.texts(name))[0][:MOST_RECORDS]))
            return await self._records(name, kind)
        except NoSuchName:
            return Answer(exists=False)
        except Unfetched as error:
            return Answer(exists=False, records=(f"! {error}",))
        except Silent as error:
            return Answer(words=str(error)[:200])

    async def _records(self, name: str, kind: str) -> Answer:
        answer = await self._questions.ask(reverse_name(name) if kind == "PTR" else name, kind)
        found = answer.rrset or ()
        return Answer(tuple(record.to_text().lower().rstrip(".") for record in found)[:MOST_RECORDS])
