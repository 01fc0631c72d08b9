"""Kinds of stores, one row each: how Glance names it, which options it has, and what becomes of them. Pure.

A kind that Glint learns to serve gets a `decide` here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.config_import import rbd_rows, s3_rows, swift_rows
from proxy.config_import.masking import masked
from proxy.config_import.options import BOOLEAN, INTEGER, MANY, PAIRS, BadValue, Given, Option
from proxy.config_import.outcomes import Dropped, Failing, Mapped, Octal, Outcome
from proxy.config_import.rows import Import, by_default, mapped
from proxy.config_import.store_places import Place, option
from upstream.stores import parse_proxy


@dataclass(frozen=True, slots=True)
class StoreKind:
    """`decide` is None for what this version cannot serve; `prefixes` are those of all its options.

    `needs_options`: Glance itself leaves such a store out where nothing is said to it.
    """

    name: str
    schemes: tuple[str, ...]
    prefixes: tuple[str, ...]
    options: tuple[Option, ...] = ()
    decide: Callable[[Import, Place], Iterator[Outcome]] | None = None
    is_read_only: bool = False
    needs_options: bool = False


DATADIR = option("filesystem_store_datadir", default="/var/lib/glance/images")
DATADIRS = option("filesystem_store_datadirs", MANY)
PERM = option("filesystem_store_file_perm", INTEGER, "0")
THIN = option("filesystem_thin_provisioning", BOOLEAN, "false")
THREADS = option("filesystem_store_thread_pool_size", INTEGER, "10")
LOCATION_METADATA = option("filesystem_store_metadata_file")
UNUSED = (
    option("filesystem_store_chunk_size"),
    option("filesystem_store_timeout"),
    option("filesystem_store_threadpool_threshold"),
)
CA_FILE = option("https_ca_certificates_file")
INSECURE = option("https_insecure", BOOLEAN, "true")
PROXIES = option("http_proxy_information", PAIRS)


def _file(work: Import, place: Place) -> Iterator[Outcome]:
    source = work.source
    yield from _folders(work, place)
    yield from mapped(source, place.at(PERM), (*place.key, "file_mode"), _file_mode)
    yield from mapped(source, place.at(THREADS), (*place.key, "threads_max"))
    yield from mapped(source, place.at(THIN), (*place.key, "thin_provisioning"))
    yield from mapped(source, place.at(LOCATION_METADATA), (*place.key, "metadata_file"))
    for unused in UNUSED:
        if given := source.get(place.at(unused)):
            yield Dropped(given.said, "Glint reads and writes in pieces of 1 MiB, all of them, with stores.*.wait_s")


def _folders(work: Import, place: Place) -> Iterator[Outcome]:
    many, one = work.source.get(place.at(DATADIRS)), work.source.get(place.at(DATADIR))
    if not many:
        note = None if one else by_default(place.at(DATADIR))
        yield Mapped((*place.key, "dir"), one.value if one else DATADIR.default, one.said if one else (), note)
        return
    try:
        yield Mapped((*place.key, "dirs"), with_priorities(many.value), many.said)
    except BadValue as error:
        yield Failing(many.said, str(error))
    if one:
        yield Dropped(one.said, f"{place.at(DATADIRS)} counts")


def with_priorities(datadirs: list[str]) -> list[dict[str, Any]]:
    """The folders of filesystem_store_datadirs, `DIR` or `DIR:PRIORITY`, once each. Raises BadValue.

    Source: glance_store/_drivers/filesystem.py, _get_datadir_path_and_priority and _check_directory_paths.
    """
    found: dict[str, int] = {}
    for entry in datadirs:
        folder, colon, rank = (part.strip() for part in entry.rpartition(":"))
        folder, rank = (folder, rank) if colon else (rank, "")
        try:
            priority = int(rank or 0)
        except ValueError:
            raise BadValue("expected a folder and its priority, such as /srv/images:10; left out") from None
        if not folder or found.get(folder, priority) != priority:
            raise BadValue("expected each folder once, such as /srv/images:10; left out")
        found[folder] = priority
    return [{"path": folder, "priority": priority} for folder, priority in found.items()]


def _file_mode(number: int) -> Octal | None:
    try:
        return Octal(int(str(number), 8)) if number > 0 else None
    except ValueError:
        raise BadValue("expected a file mode such as 640; left out") from None


def _http(work: Import, place: Place) -> Iterator[Outcome]:
    source = work.source
    authorities, insecure = source.get(place.at(CA_FILE)), source.get(place.at(INSECURE))
    key = (*place.key, "verify_tls")
    if authorities:
        yield Mapped((*place.key, "ca_file"), authorities.value, authorities.said)
        if insecure:
            yield Dropped(insecure.said, f"{place.at(CA_FILE)} wins over it: certificates are looked at")
    elif insecure:
        yield Mapped(key, not insecure.value, insecure.said)
    else:
        yield Mapped(
            key, value=True, said=(), note=f"not {by_default(place.at(INSECURE))}, which would take any certificate"
        )
    if proxies := source.get(place.at(PROXIES)):
        yield from _proxies(proxies, place)


def _proxies(given: Given, place: Place) -> Iterator[Outcome]:
    """By the scheme of what is asked for; `all` is for those that have none of their own.

    Source: requests/utils.py, select_proxy, by which Glance reads them.
    """
    if not given.value:
        yield Dropped(given.said, "no proxy: Glint goes straight to the hosts")
    for scheme in ("http", "https"):
        if text := given.value.get(scheme) or given.value.get("all"):
            url = text if "://" in text else f"http://{text}"
            try:
                parse_proxy(url)
            except ValueError as error:
                yield Failing(given.said, f"{scheme}: {error}; left out")
            else:
                yield Mapped((*place.key, f"{scheme}_proxy"), url, given.said, secret=True)
    if others := sorted(set(given.value) - {"http", "https", "all"}):
        yield Failing(given.said, f"Glint has a proxy for each scheme, and none for {', '.join(map(masked, others))}")


KINDS = (
    StoreKind(
        name="file",
        schemes=("file", "filesystem"),
        prefixes=("filesystem_",),
        options=(DATADIR, DATADIRS, PERM, THIN, THREADS, LOCATION_METADATA, *UNUSED),
        decide=_file,
    ),
    StoreKind(
        name="http",
        schemes=("http", "https"),
        prefixes=("http_", "https_"),
        options=(CA_FILE, INSECURE, PROXIES),
        decide=_http,
        is_read_only=True,
    ),
    StoreKind(
        name="swift",
        schemes=("swift", "swift+https", "swift+http", "swift+config"),
        prefixes=("swift_", "default_swift_reference"),
        options=swift_rows.OPTIONS,
        decide=swift_rows.decide,
        needs_options=True,
    ),
    StoreKind(
        name="s3",
        schemes=("s3", "s3+https", "s3+http"),
        prefixes=("s3_",),
        options=s3_rows.OPTIONS,
        decide=s3_rows.decide,
        needs_options=True,
    ),
    StoreKind(
        name="rbd",
        schemes=("rbd",),
        prefixes=("rbd_", "rados_"),
        options=rbd_rows.OPTIONS,
        decide=rbd_rows.decide,
    ),
    StoreKind(name="cinder", schemes=("cinder",), prefixes=("cinder_", "rootwrap_config", "os_region_name")),
    StoreKind(name="vmware", schemes=("vmware", "vsphere", "vmware_datastore"), prefixes=("vmware_",)),
    StoreKind(name="sheepdog", schemes=("sheepdog",), prefixes=("sheepdog_",)),
    StoreKind(name="gridfs", schemes=("gridfs",), prefixes=("mongodb_",)),
)
BY_SCHEME: Mapping[str, StoreKind] = {scheme: kind for kind in KINDS for scheme in kind.schemes}


def kind_of(name: str) -> StoreKind:
    """By the scheme, or by the older name of its code, glance.store.filesystem.Store. Unknown ones are not served."""
    scheme = name.strip().lower().removeprefix("glance.store.").removeprefix("glance_store._drivers.")
    scheme = scheme.removesuffix(".store")
    return BY_SCHEME.get(scheme, StoreKind(name=scheme, schemes=(scheme,), prefixes=()))
