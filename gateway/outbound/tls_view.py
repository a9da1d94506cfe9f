"""What TLS must prove with each mail host of a domain, and why, as plain values: for `gateway domain tls`.

Asks exactly what a delivery would ask, by the same objects, so that what is shown is what will be done.
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.mail.reply import Refused
from gateway.mail.status import DeliveryStatus
from gateway.outbound.dane import usable
from gateway.outbound.dns_questions import NoSuchName, Silent
from gateway.outbound.mx import Resolver
from gateway.outbound.tls_policy import DANE, MTA_STS, Demand, Demands, TlsPolicies
from gateway.outbound.tls_report import read_record

OPPORTUNISTIC = "TLS where the server offers it; any certificate will do"
ENFORCED = "TLS 1.2 or later; a certificate that the system trusts and that names the host; else the mail waits"
TESTED = "the same as without a policy; what would fail under it is counted for the domain's reports"
PINNED = "TLS 1.2 or later; a certificate that the TLSA records name; else the mail waits"
ENCRYPTED = "TLS 1.2 or later, any certificate: no TLSA record can be used (RFC 7672 §3.1); without TLS the mail waits"


@dataclass(frozen=True, slots=True)
class HostView:
    """One mail host. `secure`: DNSSEC vouches for the way to it; `demand`: what its TLS must be, in words."""

    host: str
    addresses: tuple[str, ...]
    secure: bool
    policy: str
    demand: str
    tlsa: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TlsView:
    """A domain. `mta_sts`, `dane`: what was found of each, in words."""

    domain: str
    mta_sts: str
    policy: tuple[str, ...]  # MTA-STS's, line by line
    dane: str
    hosts: tuple[HostView, ...]
    reports_to: tuple[str, ...]


async def view_tls(resolver: Resolver, policies: TlsPolicies, domain: str, now: datetime) -> TlsView:
    """Ask and explain. Raises Refused when the domain has no mail hosts."""
    hosts = await resolver.find(domain, now)
    if isinstance(hosts, DeliveryStatus):
        raise Refused(550, hosts.status, hosts.text)
    demands = await policies.find(domain, hosts, now)
    names = dict.fromkeys(host.name for host in hosts)
    views = []
    for name in names:
        mine = [host for host in hosts if host.name == name]
        records = demands.tlsa[name].records if name in demands.tlsa else ()
        views.append(
            HostView(
                name,
                tuple(host.address for host in mine),
                any(host.secure for host in mine),
                demands.of(name).policy,
                _demand(demands.of(name)),
                tuple(f"{record}{'' if usable(record) else ' (unusable)'}" for record in records),
            )
        )
    lines = tuple(line for line in demands.sts.text.splitlines() if line.strip())
    dane = _dane(resolver.questions.trusted, views)
    return TlsView(domain, _sts(demands), lines, dane, tuple(views), await _reports(resolver, domain))


def _demand(demand: Demand) -> str:
    if demand.barred:
        return f"not dialled: {demand.barred}"
    if demand.policy == DANE:
        return PINNED if demand.records else ENCRYPTED
    if demand.policy:
        return ENFORCED if demand.policy == MTA_STS else TESTED
    return OPPORTUNISTIC


def _sts(demands: Demands) -> str:
    sts = demands.sts
    if sts.policy is None:
        return f"none can be had: {sts.words}" if sts.flaw else "none"
    return f"{sts.policy.mode}, id {sts.version}, for {sts.policy.max_age} s"


def _dane(trusted: bool, views: list[HostView]) -> str:
    if not trusted:
        return "not asked: needs delivery.dane = auto and delivery.resolver, a validating resolver on this machine"
    if not any(view.secure for view in views):
        return "none: the domain or its mail hosts are not signed with DNSSEC"
    return "yes" if any(view.policy == DANE for view in views) else "none: no TLSA records"


async def _reports(resolver: Resolver, domain: str) -> tuple[str, ...]:
    try:
        wanted = read_record((await resolver.questions.texts(f"_smtp._tls.{domain}"))[0])
    except (NoSuchName, Silent):
        return ()
    web = (f"https://{host}{'' if port == 443 else f':{port}'}{path}" for host, port, path in wanted.web)
    return (*(str(address) for address in wanted.mail), *web)
