"""How often one client address may do a thing: a bucket for each, filled at an even pace, emptied by what is done.

Made by `serve` for the receiver and asked by its doorstep. Promises bounded memory whatever clients do, and says after
how many seconds the next one is taken. Seconds are passed in; a clock that is set back costs nobody anything.
"""

import math
from collections import OrderedDict

KNOWN_ADDRESSES = 10_000


class Rate:
    """At most `per_minute` at once and per minute on average, for each client; 0: as often as it likes."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what was left, and when

    def take(self, client: str, now: float) -> int:
        """0 and one is counted, or the whole seconds after which one may be taken. `client` is a `client_key`."""
        if not self.per_minute:
            return 0
        left, at = self._buckets.pop(client, (float(self.per_minute), now))
        left = min(left + max(now - at, 0.0) * self.per_minute / 60, float(self.per_minute))
        granted = left >= 1
        self._buckets[client] = (left - granted, now)
        if len(self._buckets) > KNOWN_ADDRESSES:
            self._buckets.popitem(last=False)  # the longest unheard: a minute fills its bucket anyway
        return 0 if granted else max(math.ceil((1 - left) * 60 / self.per_minute), 1)
