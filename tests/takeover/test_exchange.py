"""A Glance and a Glint beside each other: an image that one has stored is the other's, byte for byte, to the end."""

import hashlib
from collections.abc import Iterator

import pytest

from tests.content import KIB, MIB, Noise
from tests.peers import Keystone, Memcached, Rgw, Swift
from tests.takeover.remote_stores import LARGE_BYTES, STORES, Both, both_on, s3_of_rgw, s3_of_swift
from tests.takeover.service import Service, identity_of

pytestmark = pytest.mark.timeout(300)

NAME = "exchange"
SWIFTS = ("swift", "reference")
SHORT = {("file", "small"), ("swift", "large"), ("reference", "small"), ("s3", "large")}
OTHER = {"glance": "glint", "glint": "glance"}


@pytest.fixture(scope="module")
def both(
    keystone_swift: Swift, keystone: Keystone, memcached: Memcached, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    folder, s3 = tmp_path_factory.mktemp("exchange"), s3_of_swift(keystone_swift)
    with both_on(keystone_swift, s3, folder, keystone, memcached, identity_of(keystone), NAME) as both:
        yield both


@pytest.fixture(scope="module")
def both_with_ceph(
    keystone_swift: Swift, rgw: Rgw, keystone: Keystone, memcached: Memcached, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    """Their S3 is a Ceph's."""
    folder, s3 = tmp_path_factory.mktemp("exchange-by-ceph"), s3_of_rgw(rgw)
    with both_on(keystone_swift, s3, folder, keystone, memcached, identity_of(keystone), NAME) as both:
        yield both


def upload(service: Service, store: str, data: bytes) -> str:
    """The id of a new image of demo's in that store.

    What is large has no size beforehand in Swift: of an image whose size it knows Glance announces each segment as a
    full one, also what comes after the end, and then Swift waits for bytes that do not come.
    """
    document = {"name": "exchanged", "disk_format": "raw", "container_format": "bare"}
    image_id = str(service.do("demo", "POST", "/v2/images", document)["id"])
    headers, chunked = {"X-Image-Meta-Store": store}, store in SWIFTS and len(data) > MIB
    answer = service.ask("demo", "PUT", f"/v2/images/{image_id}/file", data, headers, chunked=chunked)
    assert answer.status == 204, answer
    return image_id


def shape(both: Both, store: str, image_id: str) -> list[str]:
    """What lies in the store for this image, with the ids of image and upload left out."""
    mine = [name.replace(image_id, "ID") for name in both.names[store]() if image_id in name]
    return sorted("/".join(part for part in name.split("/") if len(part) < 30) for name in mine)


SIZES = ("small", "large", "empty")
CELLS = [
    pytest.param(store, size, id=f"{store}, {size}", marks=[] if (store, size) in SHORT else [pytest.mark.long])
    for store in STORES
    for size in SIZES
]


@pytest.mark.parametrize(("store", "size"), CELLS)
def test_what_one_has_stored_the_other_reads_and_removes(both: Both, store: str, size: str) -> None:
    check_exchange(both, store, size)


@pytest.mark.long
@pytest.mark.parametrize("size", SIZES)
def test_what_one_has_stored_in_a_ceph_by_s3_the_other_reads_and_removes(both_with_ceph: Both, size: str) -> None:
    check_exchange(both_with_ceph, "s3", size)


def check_exchange(both: Both, store: str, size: str) -> None:
    """Each stores an image; the other finds the same in document, rows and store, reads it and removes it."""
    length = {"small": 100 * KIB + 1, "large": LARGE_BYTES[store], "empty": 0}[size]
    data = Noise(length, seed=len(store)).read()
    images = {who: upload(service, store, data) for who, service in both.services.items()}

    documents = {}
    for who, image_id in images.items():
        other = both.services[OTHER[who]]
        answer = other.ask("demo", "GET", f"/v2/images/{image_id}/file")
        assert answer.status in {200, 204}, answer
        assert answer.body == data, f"{OTHER[who]} reads {who}'s"
        documents[who] = other.do("demo", "GET", f"/v2/images/{image_id}")
    fields = ("status", "size", "checksum", "os_hash_algo", "os_hash_value", "stores")
    told = {who: [document.get(name) for name in fields] for who, document in documents.items()}
    assert told["glint"] == told["glance"]
    assert told["glint"][4] == hashlib.sha512(data).hexdigest()

    rows = {who: both.rows(image_id) for who, image_id in images.items()}
    assert [(url.replace(images["glint"], images["glance"]), held) for url, held in rows["glint"]] == rows["glance"]
    assert shape(both, store, images["glint"]) == shape(both, store, images["glance"]) != []
    if store in SWIFTS:
        heads = [both.swift.api.headers(f"{NAME}-{store}", image_id) for image_id in images.values()]
        manifests = [str(head["X-Object-Manifest"]) for head in heads]
        assert manifests[0].replace(images["glance"], images["glint"]) == manifests[1]

    for who, image_id in images.items():
        both.services[OTHER[who]].do("demo", "DELETE", f"/v2/images/{image_id}")
        assert shape(both, store, image_id) == [], f"{OTHER[who]} removes {who}'s"
