"""What a failing address was probably meant to be: another contact of the customer, or a typo of a known domain.

Called by the worklist of bounces. Known domains are data (`domains.toml`) and those that several of the tenant's own
customers use. Nothing is changed here, and nothing suggested is mailed by itself.
"""

import tomllib
from collections import Counter
from collections.abc import Collection, Iterable
from functools import cache
from importlib.resources import files

FEW = 2  # customers that must use a domain before it counts as known
SHORT = 8  # characters of a domain up to which one slip is all that is forgiven


@cache
def known_domains() -> frozenset[str]:
    """Domains at which many people have mail."""
    return frozenset(tomllib.loads(files("gateway.inbox").joinpath("domains.toml").read_text("utf-8"))["known"])


def used_domains(addresses: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The domains that several customers use; `addresses` are (customer's key, address)."""
    pairs = {(customer, address.rpartition("@")[2]) for customer, address in addresses}
    counts = Counter(domain for _, domain in pairs)
    return known_domains() | {domain for domain, count in counts.items() if count >= FEW}


def mend_domain(address: str, domains: Collection[str]) -> str:
    """The address with the known domain that its own is a slip away from; "" when there is none, or two as near."""
    local, _, domain = address.lower().rpartition("@")
    if not local or domain in known_domains():
        return ""
    most = 1 if len(domain) <= SHORT else 2
    near = sorted((slips(domain, one, most), one) for one in domains if one != domain)
    near = [found for found in near if found[0] <= most]
    if not near or (len(near) > 1 and near[0][0] == near[1][0]):
        return ""
    return f"{local}@{near[0][1]}"


def slips(left: str, right: str, most: int) -> int:
    """How many slips (a letter more, less, other, or two swapped) lie between two words; `most` + 1 for more."""
    if abs(len(left) - len(right)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        earlier, before, row = before, row, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)
