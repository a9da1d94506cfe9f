"""Turns the servers of a domain into targets that hold what its TLS policy demands, and drops those it forbids to dial.

Called by `outbound.routing` for each connection. A policy that demands TLS makes it required: neither a missing
STARTTLS nor a failed handshake leads to plain text. In MTA-STS's testing mode the same is tried first, so that what
would fail is counted, and then the mail goes as if there were no policy (RFC 8461 §5).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from gateway.mail.status import DeliveryStatus
from gateway.outbound.dane import Proof
from gateway.outbound.smtp_terms import Counted, Target, passing
from gateway.outbound.tls_policy import DANE, Demand, Demands
from gateway.outbound.tls_tally import Tally


def demanded(
    targets: Sequence[Target], demands: Demands, now: datetime, tally: Tally | None
) -> Sequence[Target] | DeliveryStatus:
    """The targets that may be dialled, with what each must prove; when there are none, why."""
    found: list[Target] = []
    barred: dict[str, str] = {}
    for target in targets:
        demand = demands.of(target.host)
        if demand.barred:
            barred[target.host] = demand.barred
            if tally is not None:
                lines = demands.lines(target.host)
                tally.count(demands.domain, demand.type, target.host, demand.fault, demand.barred, lines)
        else:
            found.append(_bound(target, demands, demand, now))
    if not found:
        host, words = next(iter(barred.items()))
        return passing("4.7.5", f"{words}; nothing is sent without what the policy demands", host)
    return found


def _bound(target: Target, demands: Demands, demand: Demand, now: datetime) -> Target:
    """One target with what its TLS must prove, and how it is counted."""
    flaw, words = demands.sts.flaw, demands.sts.words
    if demand.fault:  # only testing dials what has one
        flaw, words = demand.fault, f"the policy of {demands.domain} does not name the host {target.host}"
    kind = "sts" if flaw and demand.type == "no-policy-found" else demand.type
    counted = Counted(demands.domain, kind, demands.lines(target.host), "" if demand.policy == DANE else flaw, words)
    if not demand.policy:
        return replace(target, counted=counted)
    bound = replace(target, tls="required", policy=demand.policy, counted=counted)
    if demand.policy != DANE:
        return replace(bound, verify=True)
    proof = Proof(demand.records, (demand.base, target.host, demands.domain), now) if demand.records else None
    return replace(bound, proof=proof, server_name=demand.base)
