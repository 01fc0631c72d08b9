"""A relay between a store of Glint's and a real server: passes all on untouched, and makes faults where it is told to.

    with Relay(swift.port) as relay:                     # the store's endpoint is relay.url
        rule = relay.on("PUT", r"-0000[2-9]$", Fault(status=503), skip=1)
        ... an upload, whose second such segment is refused ...
        assert rule.made == 1
        relay.heal()                                            # all rules are gone, what is held goes on

`Relay(port, latency_s=0.02)` answers each request so much later, for tests that want a distant server. Blocking sockets
with threads, outside the loop under test, as in `tests/origin`. `python -m tests.relay --to PORT --latency-ms 20` runs
one in a process of its own, for benches.
"""

from tests.relay.script import Fault, Gate, Rule, Seen
from tests.relay.server import Relay

__all__ = ["Fault", "Gate", "Relay", "Rule", "Seen"]
