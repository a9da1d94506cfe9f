"""What is wrong with a domain's DNS, in the reader's language: the sentences of `outbound.domain_check` and its like.

A check writes its words once, in English, with the names and records in them; the command line says them so. Pages
recognise the sentence by its fixed words and say it anew; a test fails for one that is missing here.
"""

import re
from collections.abc import Callable
from functools import cache

from gateway.inbox.timeline import msgid
from gateway.web.refusals import FACT, pattern_of

DNS_WORDS: tuple[str, ...] = (
    msgid("%(domain)s has no key to sign with"),
    msgid("make some: gateway domain rotate %(domain)s"),
    msgid("%(domain)s has no SPF record"),
    msgid("publish at %(domain)s the TXT %(record)s"),
    msgid("%(domain)s has %(count)s SPF records; receivers then use none (RFC 7208 §4.5)"),
    msgid("merge them into one: %(record)s and the others"),
    msgid("DNS does not say from which addresses our mail comes"),
    msgid("the SPF record of %(domain)s needs %(count)s questions to DNS; receivers give up after %(most)s"),
    msgid("take out includes that nobody uses, or write their addresses as ip4: and ip6:"),
    msgid("the SPF record of %(domain)s does not name our address %(address)s (%(result)s)"),
    msgid("put %(term)s into it, before its all"),
    msgid("the SPF record of %(name)s ends in %(term)s: anybody may send as %(domain)s"),
    msgid("end it in -all or ~all"),
    msgid("the SPF record of %(name)s uses ptr, which many receivers ignore"),
    msgid("name addresses instead"),
    msgid("the SPF record of %(domain)s asks for more than %(most)s names that DNS does not have, as %(name)s"),
    msgid("take out terms that name nothing"),
    msgid("the SPF record of %(domain)s has %(term)s, but %(name)s has no SPF record: receivers take it for broken"),
    msgid("take %(term)s out"),
    msgid("%(name)s, which the SPF record of %(domain)s includes, has several SPF records"),
    msgid("tell whoever runs it, or take it out"),
    msgid("the SPF record of %(name)s has a term that means nothing: %(term)s"),
    msgid("mend or remove it"),
    msgid("%(domain)s has no DMARC record; large receivers ask for one"),
    msgid("%(where)s has %(count)s DMARC records; receivers then use none"),
    msgid("leave one"),
    msgid("the DMARC record at %(where)s %(why)s"),
    msgid("has %(what)s, which is no tag=value; tags are parted by ;"),
    msgid("must begin with v=DMARC1;"),
    msgid("has %(what)s; %(all)s is allowed"),
    msgid("has no p="),
    msgid("has pct=%(what)s, not a number up to 100"),
    msgid("%(domain)s asks receivers to do nothing with forged mail (p=none)"),
    msgid("when its reports show only your own mail: p=quarantine, then p=reject"),
    msgid("the DMARC record at %(where)s asks for no reports"),
    msgid("add rua=mailto:%(address)s"),
    msgid("rua=%(what)s is not a list of mailto: addresses"),
    msgid("mend it"),
    msgid("%(where)s says adkim=s, so mail of %(name)s, which is signed by %(domain)s, fails DMARC"),
    msgid("say adkim=r, or give %(name)s keys of its own: gateway domain add %(name)s"),
    msgid("%(where)s says aspf=s, so SPF of %(name)s does not count for %(domain)s; only DKIM does"),
    msgid("say aspf=r"),
    msgid("there are %(count)s BIMI records at %(name)s"),
    msgid("the logo %(what)s is not an https address of an SVG"),
    msgid("publish it as SVG Tiny PS under https"),
    msgid("%(domain)s has a logo (BIMI), but nobody shows it without DMARC"),
    msgid("set p=quarantine or p=reject, for all of the mail"),
    msgid("Gmail and Apple show a logo only with a mark certificate (a=)"),
    msgid("the key at %(name)s was cut into several records"),
    msgid("make it one record of several strings; %(why)s"),
    msgid("publish at %(name)s one TXT record: %(record)s"),
    msgid("the record at %(name)s is only a piece of the key: %(what)s"),
    msgid("the record stands at %(name)s: your DNS editor adds the domain by itself"),
    msgid("enter the name as %(name)s, without %(domain)s"),
    msgid("DNS has no DKIM record at %(name)s: nobody can check our %(algorithm)s signature"),
    msgid("there are %(count)s DKIM records at %(name)s: a receiver takes any of them"),
    msgid("leave only this one: %(record)s"),
    msgid("the record at %(name)s has quotes or backslashes in its value: %(what)s"),
    msgid("enter the value without quotes; your DNS editor sets them itself"),
    msgid("the key at %(name)s is revoked: its p= is empty"),
    msgid("the key at %(name)s was cut after %(count)s of %(most)s bytes"),
    msgid("the key at %(name)s was cut after %(count)s of %(most)s bytes, at the %(size)s bytes of one string"),
    msgid("at %(name)s stands the key of the selector %(selector)s"),
    msgid("at %(name)s stands another key than the one we sign with: %(what)s"),
    msgid("the record at %(name)s must begin with v=DKIM1; it has v=%(what)s"),
    msgid("the record at %(name)s says k=%(what)s"),
    msgid("the record at %(name)s forbids SHA-256: h=%(what)s"),
    msgid("the record at %(name)s is not for mail: s=%(what)s"),
    msgid("the record at %(name)s says t=y: a test, and receivers treat its mail as unsigned"),
    msgid("take t=y out of it"),
    msgid("nobody knows yet: %(why)s"),
    msgid("%(why)s (and 1 other name)"),
    msgid("%(why)s (and %(count)s other names)"),
    msgid("it is asked again later; if this stays, look at delivery.resolver"),
    msgid("not asked yet"),
    msgid("too many questions"),
    msgid("%(name)s is a name that public DNS never has"),
    msgid("bounces"),
    msgid("customers' answers"),
    msgid("%(domain)s has no MX record: %(which)s do not come back"),
    msgid("publish at %(domain)s the MX 10 %(host)s"),
    msgid('%(domain)s says that it takes no mail (MX 0 "."): %(which)s are lost'),
    msgid("the MX of %(domain)s is %(hosts)s, not %(host)s: %(which)s go there"),
    msgid("right when that server hands over to us by LMTP"),
    msgid("%(domain)s has other mail hosts beside us: %(hosts)s"),
    msgid("they must hand %(which)s on to %(host)s, or go"),
    msgid("our host name %(host)s has no address in DNS"),
    msgid("publish its A record, and AAAA if it has IPv6"),
    msgid("DNS does not say its addresses"),
    msgid("we greet as %(name)s, which is not the name of our address"),
    msgid("clear delivery.helo, or give %(name)s the same address"),
    msgid("%(host)s has the inner address %(address)s in DNS"),
    msgid("publish the address that the Internet sees"),
    msgid("ask whoever gave you the address to set its PTR record to %(name)s"),
    msgid("our address %(address)s has no PTR record: Gmail and others refuse its mail"),
    msgid("the PTR of %(address)s is %(name)s, whose addresses do not have it"),
    msgid("publish %(address)s as an address of %(name)s"),
    msgid("the PTR of our address %(address)s is %(name)s; we greet as %(helo)s"),
    msgid(
        "the PTR of our address %(address)s is %(name)s; we greet as %(helo)s, and %(name)s does not lead "
        "back to the address"
    ),
    msgid("%(domain)s does not ask senders for TLS (MTA-STS)"),
    msgid("once tls_certificate is a public one: gateway domain records %(domain)s"),
    msgid("the MTA-STS record at %(name)s is not valid, or there are several"),
    msgid("publish one like %(record)s"),
    msgid("%(domain)s has no MTA-STS policy: %(reason)s"),
    msgid("serve %(url)s, or take the record out"),
    msgid("the MTA-STS policy of %(domain)s names %(hosts)s, not %(host)s"),
    msgid("put mx: %(host)s into it, then change the id"),
    msgid("%(domain)s asks nobody for reports on TLS (TLS-RPT)"),
    msgid("the TLS-RPT record at %(name)s is not valid: %(what)s"),
)
_WITHIN = ("why", "which")  # facts that are sentences of ours themselves
_DEEPEST = 3


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """What says most in its own words comes first."""
    return tuple((text, pattern_of(text)) for text in sorted(DNS_WORDS, key=lambda text: -len(FACT.sub("", text))))


def say_dns(text: str, tell: Callable[[str], str], depth: int = 0) -> str:
    """A finding's words, or what to do, in the language of `tell`; as they are written when they are not recognised."""
    for known, pattern in _patterns():
        if found := pattern.match(text):
            facts = found.groupdict()
            for name in _WITHIN:
                if name in facts and depth < _DEEPEST:
                    facts[name] = say_dns(facts[name], tell, depth + 1)
            return tell(known) % facts
    return text
