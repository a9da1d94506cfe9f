"""Which of our addresses a mail is for: a return path, a thread's reply address, a tenant's A/R inbox, the postmaster.

Asked by the receiver for every RCPT, so that what we do not know is refused in the session and never bounced later.
The token names tenant and thread; headers never do (security rule 7).
"""

from dataclasses import dataclass, field

from gateway.mail.address import Address, parse_address
from gateway.mail.received import ReceivedMail
from gateway.mail.reply import Refused
from gateway.mail.verp import read_reply_address, read_return_path, same_mac, thread_mac
from gateway.outbound.queue import Booked, find_token
from gateway.store.database import Transaction
from gateway.store.schema import OPERATOR
from gateway.store.tenants import find_tenant
from gateway.store.threads import get_thread

OF_THE_OPERATOR = ("postmaster", "abuse")  # RFC 5321 §4.5.1, RFC 2142 §4; in no case of letters a tenant's name


@dataclass(frozen=True, slots=True)
class Names:
    """The domains whose mail comes to us, and the key that proves a reply address."""

    return_domain: str
    inbox_domain: str
    reply_key: bytes = field(repr=False)
    hostname: str = ""
    shared: str = ""  # the address that mail of all tenants may come from, for people who answer it all the same


@dataclass(frozen=True, slots=True)
class Destination:
    """Whose mail it is. `delivery` for a return path; `thread_id` "" for an inbox address; `shared` for the address
    of no tenant in particular: what the mail answers says whose it is.

    Mail for whoever runs the gateway is the operator's: `gateway inbox list --tenant postmaster`.
    """

    tenant_id: str
    thread_id: str = ""
    delivery: Booked | None = None
    shared: bool = False


def find_destination(tx: Transaction, names: Names, address: Address) -> Destination | None:
    """The destination of an address; None when it is none of ours, or its token is forged."""
    ours = (names.return_domain, names.inbox_domain, names.hostname.lower())
    if address.local.lower() in OF_THE_OPERATOR and address.domain in ours:
        return Destination(OPERATOR)
    if address.domain == names.return_domain and (token := read_return_path(address)):
        made = find_token(tx, token)
        return Destination(made.tenant_id, made.thread_id, made) if made else None
    if address.key == names.shared:
        return Destination(OPERATOR, shared=True)
    if address.domain != names.inbox_domain:
        return None
    slug, thread_id, mac = read_reply_address(address)
    tenant = find_tenant(tx, slug or address.local.lower())
    if tenant is None or not slug:
        return Destination(tenant.id) if tenant else None
    if not same_mac(mac, thread_mac(names.reply_key, tenant.id, thread_id)):
        return None
    return Destination(tenant.id, thread_id) if get_thread(tx, tenant.id, thread_id) else None


NAMED = 50  # addresses in a mail's header that are looked at


def named_in_header(tx: Transaction, names: Names, destination: Destination, mail: ReceivedMail) -> Destination:
    """The thread whose address the mail names in a field, for mail that came to an address of no thread.

    A token proves itself wherever it stands; only a return path in the envelope is a delivery's own report.
    """
    for text in dict.fromkeys((*mail.to, *mail.cc, *mail.delivered_to, *mail.reply_to)[:NAMED]):
        try:
            found = find_destination(tx, names, parse_address(text))
        except Refused:  # a field may hold any bytes
            continue
        if found is None or not found.thread_id:
            continue
        if destination.shared or found.tenant_id == destination.tenant_id:
            return Destination(found.tenant_id, found.thread_id)
    return destination
