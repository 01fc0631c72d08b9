"""An rbd store's options, and what becomes of them. Pure."""

from collections.abc import Iterator

from proxy.config_import.options import BOOLEAN, INTEGER, BadValue
from proxy.config_import.outcomes import Dropped, Mapped, Outcome
from proxy.config_import.rows import Import, mapped
from proxy.config_import.store_places import Place, option

POOL = option("rbd_store_pool")
USER = option("rbd_store_user")
CEPH_CONF = option("rbd_store_ceph_conf")
CHUNK = option("rbd_store_chunk_size", INTEGER)
THIN = option("rbd_thin_provisioning", BOOLEAN)
TIMEOUT = option("rados_connect_timeout", INTEGER)
OPTIONS = (POOL, USER, CEPH_CONF, CHUNK, THIN, TIMEOUT)


def decide(work: Import, place: Place) -> Iterator[Outcome]:
    source, key = work.source, place.key
    yield from mapped(source, place.at(POOL), (*key, "pool"))
    yield from mapped(source, place.at(USER), (*key, "user"))
    yield from mapped(source, place.at(CEPH_CONF), (*key, "ceph_conf"), lambda path: path or None)
    yield from mapped(source, place.at(CHUNK), (*key, "chunk_size"), _chunk)
    yield from mapped(source, place.at(THIN), (*key, "thin_provisioning"))
    given = source.get(place.at(TIMEOUT))
    if given and given.value > 0:
        for name in ("connect_s", "mon_s", "osd_s"):
            yield Mapped((*key, name), given.value, given.said)
    elif given:
        yield Dropped(given.said, "Glint waits for no Ceph without end: stores.*.connect_s, mon_s, osd_s have defaults")


def _chunk(mebibytes: int) -> str:
    """Glance takes the power of two below for the objects of new images."""
    if not 1 <= mebibytes <= 32:
        raise BadValue("expected 1 to 32, the MiB of Ceph's objects; left out")
    return f"{1 << (mebibytes.bit_length() - 1)} MiB"
