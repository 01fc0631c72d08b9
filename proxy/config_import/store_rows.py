"""Rows of the stores, in both of Glance's forms: a list of kinds, or named back-ends with a section each. Pure."""

from collections.abc import Iterator

from proxy.config_import.conf import DEFAULT, Assignment
from proxy.config_import.options import INTEGER, ITEMS, PAIRS, Given, Option
from proxy.config_import.outcomes import Dropped, Failing, Mapped, Outcome
from proxy.config_import.rows import Import, Row, by_default, gone, mapped
from proxy.config_import.store_kinds import DATADIR, KINDS, StoreKind, kind_of
from proxy.config_import.store_places import SECTION, Place

BACKENDS = Option(DEFAULT, "enabled_backends", PAIRS)
DEFAULT_BACKEND = Option(SECTION, "default_backend")
STORES = Option(SECTION, "stores", ITEMS, older=((DEFAULT, "stores"), (DEFAULT, "known_stores")), default="file,http")
DEFAULT_STORE = Option(
    SECTION, "default_store", older=((DEFAULT, "default_store"), (SECTION, "default_store_scheme")), default="file"
)
DESCRIPTION = Option(SECTION, "store_description")
WEIGHT = Option(SECTION, "weight", INTEGER, default="0")
STRATEGY = Option(DEFAULT, "location_strategy", default="location_order")
PREFERENCE = Option("store_type_location_strategy", "store_type_preference", ITEMS)
STAGING_URI = Option(DEFAULT, "node_staging_uri", default="file:///tmp/staging/")
STAGING = Option("os_glance_staging_store", DATADIR.name, default="/var/lib/glance/os_glance_staging_store")
_WEIGHT_STEP = 100


def _stores(work: Import) -> Iterator[Outcome]:
    backends = work.source.get(BACKENDS)
    if backends and backends.value:
        yield from _named(work, backends)
    else:
        if backends:
            yield Dropped(backends.said, "there are none in it")
        yield from _by_kind(work)


def _named(work: Import, backends: Given) -> Iterator[Outcome]:
    source, served = work.source, dict[str, StoreKind]()
    for store, scheme in backends.value.items():
        kind, key = kind_of(scheme), ("stores", "backends", store)
        if kind.decide is None:
            yield from _not_served(store, kind, backends.said, source.conf.section(store))
            continue
        served[store] = kind
        yield Mapped((*key, "kind"), kind.name, backends.said)
        yield from kind.decide(work, Place(store, key, is_named=True))
        yield from mapped(source, WEIGHT.within(store), (*key, "weight"))
        yield from mapped(source, DESCRIPTION.within(store), (*key, "description"))
    if default := source.get(DEFAULT_BACKEND):
        yield _default(default.value, served, default.said)
    else:
        yield _default("", served, ())
        yield Failing((), f"{DEFAULT_BACKEND} is not given, and Glance needs it: uploads that name no store would fail")
    for one in source.conf.section(SECTION):
        if one.name != DEFAULT_BACKEND.name:
            yield Dropped((one,), f"{BACKENDS} is given, so Glance does not look at it")
    yield from _none_left(served)


def _by_kind(work: Import) -> Iterator[Outcome]:
    source = work.source
    listed, default = source.get(STORES), source.get(DEFAULT_STORE)
    said = listed.said if listed else ()
    default_kind = kind_of(source.value(DEFAULT_STORE))
    kinds = {kind.name: kind for kind in map(kind_of, source.value(STORES)) if kind.name != "no_conf"}
    if default:
        kinds.setdefault(default_kind.name, default_kind)
    served = {}
    for name, kind in kinds.items():
        options = [one for one in source.conf.assignments if _is_of(kind, one)]
        key = ("stores", "backends", name)
        if kind.decide is not None and (options or kind is default_kind or not kind.needs_options):
            served[name] = kind
            yield Mapped((*key, "kind"), name, said, None if listed else by_default(STORES))
            yield from kind.decide(work, Place(SECTION, key, is_named=False))
        elif options or kind is default_kind:
            asked = default.said if default and kind is default_kind else said
            yield from _not_served(name, kind, asked, options)
        else:
            yield Dropped(said, f"a {name} store is enabled, but nothing is said to it")
    yield from _idle_kinds(source.conf.assignments, kinds)
    yield _default(default_kind.name, served, default.said if default else ())
    if given := source.get(DEFAULT_BACKEND):
        yield Dropped(given.said, f"without {BACKENDS} Glance does not look at it")
    yield from _preference(work, served)
    yield from _none_left(served)


def _is_of(kind: StoreKind, one: Assignment) -> bool:
    """Stores had their options in [DEFAULT] once, where others begin with http_ as well."""
    if one.section == DEFAULT and kind.options:
        return one.name in {option.name for option in kind.options}
    return one.section in (SECTION, DEFAULT) and bool(kind.prefixes) and one.name.startswith(kind.prefixes)


def _idle_kinds(assignments: list[Assignment], enabled: dict[str, StoreKind]) -> Iterator[Outcome]:
    for kind in KINDS:
        for one in assignments if kind.name not in enabled else ():
            if _is_of(kind, one):
                yield Dropped((one,), f"no {kind.name} store is enabled")


def _not_served(
    store: str, kind: StoreKind, said: tuple[Assignment, ...], options: list[Assignment]
) -> Iterator[Outcome]:
    reason = f"store {store}: this version of Glint cannot read stores of kind {kind.name}"
    yield Failing(said, f"{reason}; its images would not be there, unless that Glance stays (registry.kind glance)")
    for one in options:
        yield Dropped((one,), reason)


def _default(store: str, served: dict[str, StoreKind], said: tuple[Assignment, ...]) -> Mapped:
    key = ("stores", "default")
    if store in served and not served[store].is_read_only:
        return Mapped(key, store, said, None if said else by_default(DEFAULT_STORE))
    return Mapped(key, None, said, "no store that takes uploads: those that name no store fail")


def _preference(work: Import, served: dict[str, StoreKind]) -> Iterator[Outcome]:
    """By kind; the order of rows, which is the other strategy, is Glint's own among stores of one weight."""
    strategy, preference = work.source.get(STRATEGY), work.source.get(PREFERENCE)
    by_kind = strategy is not None and strategy.value == "store_type"
    if strategy:
        yield Dropped(
            strategy.said, "the weight of each store says it" if by_kind else "so it is: in the order of rows"
        )
    if preference and by_kind:
        names = [name for name in dict.fromkeys(kind_of(each).name for each in preference.value) if name in served]
        for rank, name in enumerate(reversed(names), start=1):
            yield Mapped(("stores", "backends", name, "weight"), rank * _WEIGHT_STEP, preference.said)
    elif preference:
        yield Dropped(preference.said, f"{STRATEGY} does not ask for it")


def _none_left(served: dict[str, StoreKind]) -> Iterator[Outcome]:
    if not served:
        yield Mapped(("stores", "backends"), {}, (), "none that this version of Glint can read")
        yield Failing((), "no store is left: nothing could be downloaded")


def _staging(work: Import) -> Iterator[Outcome]:
    """The same folder as before: what is staged there can still be imported."""
    key, source = ("api", "staging_dir"), work.source
    backends, uri, folder = source.get(BACKENDS), source.get(STAGING_URI), source.get(STAGING)
    if backends and backends.value:
        place = source.value(STAGING)
        yield Mapped(key, place, folder.said if folder else (), None if folder else by_default(STAGING))
        if uri:
            yield Dropped(uri.said, f"with {BACKENDS} Glance looks at {STAGING} instead")
        return
    if folder:
        yield Dropped(folder.said, f"without {BACKENDS} Glance looks at {STAGING_URI} instead")
    if uri and not uri.value.startswith("file://"):
        yield Failing(uri.said, "expected a URI such as file:///var/lib/glance/staging")
        return
    place = source.value(STAGING_URI).removeprefix("file://").rstrip("/")
    yield Mapped(key, place, uri.said if uri else (), None if uri else by_default(STAGING_URI))


ROWS = (
    Row(
        (
            BACKENDS,
            DEFAULT_BACKEND,
            STORES,
            DEFAULT_STORE,
            STRATEGY,
            PREFERENCE,
            *(o for k in KINDS for o in k.options),
        ),
        _stores,
        patterns=tuple(
            (section, f"{prefix}*") for kind in KINDS for prefix in kind.prefixes for section in (SECTION, DEFAULT)
        ),
        reason="no store of that kind is enabled",
    ),
    Row((STAGING_URI, STAGING), _staging),
    gone("Glint needs no such store: its tasks write into api.staging_dir", ("os_glance_*", "*")),
    gone(
        "Glint's stores are what stores.backends names",
        *((section, "store_capabilities_*") for section in (SECTION, DEFAULT)),
    ),
    gone("no cinder store is enabled that Glint could read", ("privsep*", "*")),
)
