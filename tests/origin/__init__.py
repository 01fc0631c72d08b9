"""An HTTP origin on loopback that does as it is told: serves contents, counts what was asked, misbehaves by script.

    with Origin() as origin:                            # in tests with and without an event loop
        disk = origin.add("disk", Noise(64 * MIB, seed=1))
        origin.script("disk", Fault(cut_at=MIB))        # the next GET is cut after 1 MiB, later ones are answered well
        ... origin.url("disk") ...                      # http://127.0.0.1:<port>/disk
        assert origin.counts("disk").gets == 2

A `Gate` holds an answer back where the test wants it, without sleeping:

    gate = Gate(at=MIB)                                 # Gate() holds even the head
    origin.script("disk", Fault(gate=gate))
    ... await gate.reached() ... gate.open(to=2 * MIB) ... gate.open()

It serves with a thread for each connection, outside the loop under test: plain blocking sockets make every byte, cut
and pause exact. `python -m tests.origin --size-mib 1024` runs one in a process of its own, for benches.
"""

from tests.content import GIB, KIB, MIB, Content, Fixed, Noise
from tests.origin.script import Counts, Fault, Gate, Request
from tests.origin.server import Origin

__all__ = ["GIB", "KIB", "MIB", "Content", "Counts", "Fault", "Fixed", "Gate", "Noise", "Origin", "Request"]
