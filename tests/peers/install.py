"""Makes what the peers need: `python -m tests.peers.install [NAME...]`, all of it if no name is given.

A name is that of an environment (a lock file in `requirements/`) or of a program from a Debian package. Without names,
Ceph's bindings are linked into the environment that this runs in, and what servers begin with is made for the tests to
copy: a Ceph, a PostgreSQL, and a MariaDB with the tables of Keystone and of Glance.
Safe to repeat, and to run several times at once.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.peers.ceph_bindings import link_bindings
from tests.peers.ceph_template import ensure_template
from tests.peers.debian import PACKAGES, PackagesMissing, ensure_packages
from tests.peers.environments import NAMES, InstallFailed, ensure_environment
from tests.peers.glance import ensure_glance
from tests.peers.keystone import ensure_keystone
from tests.peers.postgresql import ensure_postgresql


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*NAMES, *PACKAGES]))
    names: list[str] = parser.parse_args().names or [*PACKAGES, *NAMES]
    if unknown := set(names) - {*NAMES, *PACKAGES}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join([*NAMES, *PACKAGES])}")
    try:
        with ThreadPoolExecutor(2) as pool:
            packages = pool.submit(ensure_packages, [name for name in names if name in PACKAGES])
            list(pool.map(install_environment, [name for name in names if name in NAMES]))
            packages.result()
        if names == [*PACKAGES, *NAMES]:
            link_bindings()
            ensure_template("memstore")
            ensure_postgresql()
            ensure_keystone()
            ensure_glance(metadefs=False)
    except (InstallFailed, PackagesMissing) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def install_environment(name: str) -> None:
    began_s = time.monotonic()
    home = ensure_environment(name)
    print(f"{name}: {home} ({time.monotonic() - began_s:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
