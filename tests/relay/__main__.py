"""A relay in a process of its own. Prints its port."""

import argparse
import signal

from tests.content import MIB
from tests.relay.server import Relay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=int, required=True, help="port of the server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--rate-mib", type=float, default=0.0, help="per second and connection; 0: as it comes")
    given = parser.parse_args()
    rate_bytes_s = int(given.rate_mib * MIB) or None
    with Relay(given.to, port=given.port, latency_s=given.latency_ms / 1000, rate_bytes_s=rate_bytes_s) as relay:
        print(relay.port, flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
