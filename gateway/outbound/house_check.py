"""What is wrong with the DNS of the gateway's own names, in words: where mail comes back, and who we are when we call.

Called with the shared domain's check (`outbound.domain_watch`, `gateway domain check`); pure. Looks at the MX of the
return and inbox domains, SPF of the return domain, the addresses and PTR records of our host name (RFC 8601 iprev:
large receivers refuse mail without), and MTA-STS and TLS-RPT of the inbox domain.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from gateway.outbound.dns_answers import POLICY, Seen
from gateway.outbound.domain_check import House, check_spf
from gateway.outbound.findings import ERROR, HINT, WARNING, Finding, cut, unknown
from gateway.outbound.mta_sts import ENFORCE, read_policy, read_record


def check_house(seen: Seen, house: House) -> list[Finding]:
    """Everything about our own names."""
    return [
        *check_mx(seen, house, house.return_domain, "bounces"),
        *check_mx(seen, house, house.inbox_domain, "customers' answers"),
        *check_spf(seen, house, house.return_domain, ERROR),
        *check_hostname(seen, house),
        *check_mta_sts(seen, house, house.inbox_domain),
        *check_tls_rpt(seen, house.inbox_domain),
    ]


def check_mx(seen: Seen, house: House, domain: str, what: str) -> Iterator[Finding]:
    """Whether mail to one of our domains comes to us."""
    answer = seen.ask(domain, "MX")
    todo = f"publish at {domain} the MX 10 {house.hostname}."
    if not answer.known:
        yield unknown(domain, answer.words)
        return
    hosts = ["".join(record.split()[1:]).rstrip(".") for record in answer.records]
    if not hosts:
        yield Finding(ERROR, "mx-missing", domain, f"{domain} has no MX record: {what} do not come back", todo)
    elif not any(hosts):
        yield Finding(
            ERROR, "mx-null", domain, f'{domain} says that it takes no mail (MX 0 "."): {what} are lost', todo
        )
    elif house.hostname not in hosts:
        words = f"the MX of {domain} is {', '.join(sorted(hosts))[:100]}, not {house.hostname}: {what} go there"
        if house.fronted:
            yield Finding(HINT, "mx-other", domain, words, "right when that server hands over to us by LMTP")
        else:
            yield Finding(ERROR, "mx-other", domain, words, todo)
    elif len(hosts) > 1 and not house.fronted:
        words = f"{domain} has other mail hosts beside us: {', '.join(sorted(set(hosts) - {house.hostname}))[:100]}"
        yield Finding(WARNING, "mx-beside", domain, words, f"they must hand {what} on to {house.hostname}, or go")


def check_hostname(seen: Seen, house: House) -> Iterator[Finding]:
    """Addresses of our host name, and the PTR records that lead from them back to it."""
    addresses, known = seen.addresses(house.hostname)
    if not addresses:
        if known:
            words = f"our host name {house.hostname} has no address in DNS"
            yield Finding(
                ERROR, "address-missing", house.hostname, words, "publish its A record, and AAAA if it has IPv6"
            )
        else:
            yield unknown(house.hostname, "DNS does not say its addresses")
        return
    if house.relay:  # whoever is called sees the relay, not us
        return
    if house.helo != house.hostname and not set(addresses) & set(seen.addresses(house.helo)[0]):
        words = f"we greet as {house.helo}, which is not the name of our address"
        yield Finding(WARNING, "helo", house.helo, words, f"clear delivery.helo, or give {house.helo} the same address")
    for address in addresses:
        yield from _check_ptr(seen, house, address)


def _check_ptr(seen: Seen, house: House, address: str) -> Iterator[Finding]:
    if is_inner(address):
        words = f"{house.hostname} has the inner address {address} in DNS"
        yield Finding(WARNING, "address-inner", house.hostname, words, "publish the address that the Internet sees")
        return
    answer = seen.ask(address, "PTR")
    todo = f"ask whoever gave you the address to set its PTR record to {house.helo}"
    if not answer.known:
        yield unknown(address, answer.words)
    elif not answer.records:
        words = f"our address {address} has no PTR record: Gmail and others refuse its mail"
        yield Finding(ERROR, "ptr-missing", address, words, todo)
    elif house.helo in answer.records:
        back, known = seen.addresses(house.helo)
        if known and address not in back:
            words = f"the PTR of {address} is {house.helo}, whose addresses do not have it"
            yield Finding(ERROR, "ptr-unconfirmed", address, words, f"publish {address} as an address of {house.helo}")
    else:
        name = answer.records[0]
        back, known = seen.addresses(name)
        confirmed = not known or address in back
        words = f"the PTR of our address {address} is {name}; we greet as {house.helo}"
        words += "" if confirmed else f", and {name} does not lead back to the address"
        yield Finding(
            WARNING if confirmed else ERROR, "ptr-other" if confirmed else "ptr-unconfirmed", address, words, todo
        )


_INNER = [ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")]
_INNER += [ip_network(one) for one in ("127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10")]


def is_inner(address: str) -> bool:
    """Whether nobody outside could know an address (RFC 1918, 6598, 4193)."""
    found = ip_address(address)
    return any(found.version == one.version and found in one for one in _INNER)


def check_mta_sts(seen: Seen, house: House, domain: str) -> Iterator[Finding]:
    """Whether a domain of ours asks others for TLS, and whether what it asks can be done (RFC 8461)."""
    name = f"_mta-sts.{domain}"
    answer = seen.ask(name, "TXT")
    if not answer.known:
        yield unknown(name, answer.words)
    elif not any(text.startswith("v=STSv1") for text in answer.records):
        yield Finding(HINT, "sts-missing", name, f"{domain} does not ask senders for TLS (MTA-STS)",
                      f"once tls_certificate is a public one: gateway domain records {house.shared}")  # fmt: skip
    elif not read_record(answer.records):
        yield Finding(WARNING, "sts-syntax", name, f"the MTA-STS record at {name} is not valid, or there are several",
                      'publish one like "v=STSv1; id=20260101"')  # fmt: skip
    else:
        policy = seen.ask(domain, POLICY)
        if not policy.known:
            yield unknown(f"mta-sts.{domain}", policy.words)
        elif policy.records and policy.records[0].startswith("! "):
            words = f"{domain} has no MTA-STS policy: {policy.records[0][2:]}"
            todo = f"serve https://mta-sts.{domain}/.well-known/mta-sts.txt, or take the record out"
            yield Finding(WARNING, "sts-policy", name, words, todo)
        elif policy.records:
            made = read_policy(policy.records[0])
            if made.mode != "none" and not made.allows(house.hostname):
                severity = ERROR if made.mode == ENFORCE else WARNING
                words = f"the MTA-STS policy of {domain} names {', '.join(made.mx)[:100]}, not {house.hostname}"
                yield Finding(severity, "sts-mx", name, words, f"put mx: {house.hostname} into it, then change the id")


def check_tls_rpt(seen: Seen, domain: str) -> Iterator[Finding]:
    """Whether a domain of ours asks for reports on TLS (RFC 8460)."""
    name = f"_smtp._tls.{domain}"
    answer = seen.ask(name, "TXT")
    texts = [text for text in answer.records if text.startswith("v=TLSRPTv1")]
    if answer.known and not texts:
        yield Finding(HINT, "tlsrpt-missing", name, f"{domain} asks nobody for reports on TLS (TLS-RPT)")
    elif len(texts) > 1 or (texts and not re.search(r";\s*rua\s*=\s*(?:mailto:|https://)\S", texts[0])):
        yield Finding(WARNING, "tlsrpt-syntax", name, f"the TLS-RPT record at {name} is not valid: {cut(texts[0])}",
                      "publish one like v=TLSRPTv1; rua=mailto:postmaster@your.domain")  # fmt: skip
