"""Kinds of stores, one row each: how Glance names it, which options it has, and what becomes of them. Pure.

A kind that Glint learns to serve gets a `decide` here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.config_import.conf import DEFAULT
from proxy.config_import.options import BOOLEAN, INTEGER, MANY, PAIRS, TEXT, BadValue, Option
from proxy.config_import.outcomes import Dropped, Failing, Key, Mapped, Octal, Outcome
from proxy.config_import.rows import Import, by_default, mapped

SECTION = "glance_store"


def _option(name: str, kind: Any = TEXT, default: str | None = None) -> Option:
    return Option(SECTION, name, kind, older=((DEFAULT, name),), default=default)


@dataclass(frozen=True, slots=True)
class Place:
    """One store: the section of its options, and where it goes in Glint's configuration. `is_named`: rows name it."""

    section: str
    key: Key
    is_named: bool

    def at(self, option: Option) -> Option:
        return option.within(self.section) if self.is_named else option


@dataclass(frozen=True, slots=True)
class StoreKind:
    """`decide` is None for what this version cannot serve; `prefixes` are those of all its options."""

    name: str
    schemes: tuple[str, ...]
    prefixes: tuple[str, ...]
    options: tuple[Option, ...] = ()
    decide: Callable[[Import, Place], Iterator[Outcome]] | None = None
    is_read_only: bool = False


DATADIR = _option("filesystem_store_datadir", default="/var/lib/glance/images")
DATADIRS = _option("filesystem_store_datadirs", MANY)
PERM = _option("filesystem_store_file_perm", INTEGER, "0")
THREADS = _option("filesystem_store_thread_pool_size", INTEGER, "10")
LOCATION_METADATA = _option("filesystem_store_metadata_file")
UNUSED = (
    _option("filesystem_store_chunk_size"),
    _option("filesystem_thin_provisioning"),
    _option("filesystem_store_timeout"),
    _option("filesystem_store_threadpool_threshold"),
)
CA_FILE = _option("https_ca_certificates_file")
INSECURE = _option("https_insecure", BOOLEAN, "true")
PROXIES = _option("http_proxy_information", PAIRS)


def _file(work: Import, place: Place) -> Iterator[Outcome]:
    source = work.source
    yield from _folders(work, place)
    yield from mapped(source, place.at(PERM), (*place.key, "file_mode"), _file_mode)
    yield from mapped(source, place.at(THREADS), (*place.key, "threads_max"))
    if given := source.get(place.at(LOCATION_METADATA)):
        yield Dropped(given.said, "Glint writes no metadata of its own to locations; those that are there stay")
    for option in UNUSED:
        if given := source.get(place.at(option)):
            yield Dropped(given.said, "Glint reads and writes in pieces of 1 MiB, all of them, with stores.*.wait_s")


def _folders(work: Import, place: Place) -> Iterator[Outcome]:
    """A store of Glint has one folder. The further ones become stores of their own, for reading and deleting.

    Rows that name the first store for all of them are read by the store in whose folder the file lies.
    """
    many, one = work.source.get(place.at(DATADIRS)), work.source.get(place.at(DATADIR))
    if not many:
        note = None if one else by_default(place.at(DATADIR))
        yield Mapped((*place.key, "dir"), one.value if one else DATADIR.default, one.said if one else (), note)
        return
    first, *others = by_priority(many.value)
    yield Mapped((*place.key, "dir"), first, many.said, "the one with the highest priority: uploads go there")
    for number, folder in enumerate(others, start=2):
        key = (*place.key[:-1], f"{place.key[-1]}-{number}")
        yield Mapped((*key, "kind"), "file", many.said)
        yield Mapped((*key, "dir"), folder, many.said)
    if one:
        yield Dropped(one.said, f"{place.at(DATADIRS)} counts")


def by_priority(datadirs: list[str]) -> list[str]:
    """The folders of filesystem_store_datadirs, `DIR` or `DIR:PRIORITY`, the highest priority first."""
    split = [entry.rpartition(":") for entry in datadirs]
    ranked = [
        (int(rank), folder) if folder and rank.isdecimal() else (0, f"{folder}{colon}{rank}")
        for folder, colon, rank in split
    ]
    return [folder for _, folder in sorted(ranked, key=lambda pair: -pair[0])]


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
    if (proxies := source.get(place.at(PROXIES))) and proxies.value:
        yield Failing(proxies.said, "Glint's http stores go straight to their hosts, and by no proxy")
    elif proxies:
        yield Dropped(proxies.said, "no proxy: Glint goes straight to the hosts")


KINDS = (
    StoreKind(
        name="file",
        schemes=("file", "filesystem"),
        prefixes=("filesystem_",),
        options=(DATADIR, DATADIRS, PERM, THREADS, LOCATION_METADATA, *UNUSED),
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
    ),
    StoreKind(name="s3", schemes=("s3", "s3+https", "s3+http"), prefixes=("s3_",)),
    StoreKind(name="rbd", schemes=("rbd",), prefixes=("rbd_", "rados_")),
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
