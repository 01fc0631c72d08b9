"""An origin in a process of its own."""

import argparse
import json
import sys

from tests.content import MIB, Noise
from tests.origin.script import Fault
from tests.origin.server import Origin


def main() -> None:
    """Serve noise at /0, /1, … until standard input ends; the first line printed says where, in JSON."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--size-mib", type=int, default=1024)
    options.add_argument("--contents", type=int, default=1)
    options.add_argument("--rate-mib-s", type=int, default=None)
    options.add_argument("--digests", action="store_true", help="compute sha512 of each, which takes a while")
    asked = options.parse_args()
    with Origin(port=asked.port) as origin:
        for number in range(asked.contents):
            origin.add(str(number), Noise(asked.size_mib * MIB, seed=number))
            if asked.rate_mib_s is not None:
                origin.always(str(number), Fault(rate_bytes_s=asked.rate_mib_s * MIB))
        urls = [origin.url(str(number)) for number in range(asked.contents)]
        digests = [Noise(asked.size_mib * MIB, seed=n).digest() for n in range(asked.contents)] if asked.digests else []
        print(json.dumps({"urls": urls, "size_bytes": asked.size_mib * MIB, "sha512": digests}), flush=True)
        for line in sys.stdin:  # "counts" asks for what happened so far
            if line.strip() == "counts":
                seen = [origin.counts(str(number)) for number in range(asked.contents)]
                told = [{"gets": c.gets, "heads": c.heads, "sent_bytes": c.sent_bytes} for c in seen]
                print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
