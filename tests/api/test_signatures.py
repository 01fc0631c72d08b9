"""Images with a signature: kept only if the data are what was signed, by a certificate of a stand-in for Barbican."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.x509.oid import NameOID

from proxy.listening import address_of, bind
from tests.api.client import OCTETS, Client
from tests.content import MIB, Noise
from tests.imports.importing import LOCK
from tests.served import config_for, serving

DATA = Noise(2 * MIB + 5, seed=5).read()
ALTERED = DATA[:-1] + bytes([DATA[-1] ^ 1])

RSA_512 = b"""-----BEGIN CERTIFICATE-----
MIIBezCCASWgAwIBAgIUeTZw5DHoc4xwbO30J/xpoJnWdSkwDQYJKoZIhvcNAQEL
BQAwETEPMA0GA1UEAwwGc2lnbmVyMCAXDTI2MTEzMDAzNDY0OFoYDzIxMjYxMTA2
MDM0NjQ4WjARMQ8wDQYDVQQDDAZzaWduZXIwXDANBgkqhkiG9w0BAQEFAANLADBI
AkEAvbDEWZoh9wx4nZYCNSI+WasEfp1IJxHeehTpeion/ondEH08HlkQWdRDwVvN
WLDGzOGeoZDlh768gJl1NjVHYQIDAQABo1MwUTAdBgNVHQ4EFgQUwyPzm0YRU+ov
xnS4+YwD/506J9kwHwYDVR0jBBgwFoAUwyPzm0YRU+ovxnS4+YwD/506J9kwDwYD
VR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAANBAEGOCo0J6u62SNGFW69N8AnH
ZuTKPv9n9UCED2xQqr8s8Z4NHJX6OujzF4Yh++q1ITKWL/tfMhym/7FMdqEhaCg=
-----END CERTIFICATE-----
"""
SECT409K1 = b"""-----BEGIN CERTIFICATE-----
MIIBwzCCAUSgAwIBAgIUP8/Gadx5/kJUdI4sbM/vJxhh+bMwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGc2lnbmVyMCAXDTI2MTEzMDAzNDY0OFoYDzIxMjYxMTA2MDM0
NjQ4WjARMQ8wDQYDVQQDDAZzaWduZXIwfjAQBgcqhkjOPQIBBgUrgQQAJANqAAQA
rBEzijJCqeuV4Fjgw/Cq3xVrDI7nqJbLZO6rSsgFSD/vf/E8gJYgwgPrU9XubbiL
rJ9OAGvVmHY+/ybgaiDRMYEzqEVRcv1QeyTlr+T8ihp/2buokSZwManP24iosKtN
L+JqHWeWJaNTMFEwHQYDVR0OBBYEFLiXXUe2Mfs/QAaT4auM232e1fpaMB8GA1Ud
IwQYMBaAFLiXXUe2Mfs/QAaT4auM232e1fpaMA8GA1UdEwEB/wQFMAMBAf8wCgYI
KoZIzj0EAwIDbQAwagIzRtQELZsx0dwnhXprthWTywUrP5O9/ZctDN/rCeFCJn/W
TX80Zn+nFeJHEYJ6i2U6GBaUAjM7w3xz85JN00tJq+EvssI5X2jzghrmx824Fekj
AJwJdLnfqsujjSTu1v0kwg+CInUREWM=
-----END CERTIFICATE-----
"""
"""Of keys that `cryptography` does not make any more."""


@dataclass
class Barbican:
    """What it does of Barbican: secrets are described, given by their type, and deleted."""

    url: str = ""
    secrets: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def keep(self, content: bytes, kind: str = "certificate") -> str:
        name = str(uuid4())
        self.secrets[name] = (kind, content)
        return name

    async def describe(self, request: web.Request) -> web.StreamResponse:
        kind, _ = self._secret(request)
        return web.json_response({"secret_type": kind, "content_types": {"default": "application/octet-stream"}})

    async def give(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept"] == "application/octet-stream"
        return web.Response(body=self._secret(request)[1])

    async def forget(self, request: web.Request) -> web.StreamResponse:
        self._secret(request)
        del self.secrets[request.match_info["name"]]
        return web.Response(status=204)

    def _secret(self, request: web.Request) -> tuple[str, bytes]:
        if request.match_info["name"] not in self.secrets:
            raise web.HTTPNotFound
        return self.secrets[request.match_info["name"]]


@asynccontextmanager
async def barbican() -> AsyncIterator[Barbican]:
    served = Barbican()
    app = web.Application()
    app.router.add_get("/v1/secrets/{name}", served.describe)
    app.router.add_get("/v1/secrets/{name}/payload", served.give)
    app.router.add_delete("/v1/secrets/{name}", served.forget)
    runner = web.AppRunner(app)
    await runner.setup()
    (listener,) = await bind("127.0.0.1", 0, "barbican")
    try:
        await web.SockSite(runner, listener).start()
        served.url = "http://{}:{}".format(*address_of([listener]))
        yield served
    finally:
        await runner.cleanup()
        listener.close()


@pytest.fixture
async def keys() -> AsyncIterator[Barbican]:
    async with barbican() as served:
        yield served


@pytest.fixture
async def client(tmp_path: Path, keys: Barbican) -> AsyncIterator[Client]:
    async with serving(config_for(tmp_path, {"key_manager": {"endpoint": keys.url}})) as served:
        yield Client(served)


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def by_rsa(data: bytes) -> tuple[bytes, Any]:
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.MAX_LENGTH)
    return rsa_key().sign(data, pss, hashes.SHA256()), rsa_key()


def by_curve(data: bytes) -> tuple[bytes, Any]:
    key = ec.generate_private_key(ec.SECP384R1())
    return key.sign(data, ec.ECDSA(hashes.SHA256())), key


def by_dsa(data: bytes) -> tuple[bytes, Any]:
    key = dsa.generate_private_key(1024)
    return key.sign(data, hashes.SHA256()), key


def certificate(key: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signer")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=1)).public_key(key.public_key())
    return made.sign(rsa_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def signed(
    keys: Barbican, key_type: str = "RSA-PSS", by: Callable[[bytes], tuple[bytes, Any]] = by_rsa
) -> dict[str, str]:
    """The properties of an image whose data are to be `DATA`."""
    signature, key = by(DATA)
    return {
        "img_signature": base64.b64encode(signature).decode(),
        "img_signature_hash_method": "SHA-256",
        "img_signature_key_type": key_type,
        "img_signature_certificate_uuid": keys.keep(certificate(key)),
    }


async def put(client: Client, path: str, data: bytes) -> int:
    return (await client.ask("PUT", f"{path}/file", data=data, headers=OCTETS)).status


@pytest.mark.parametrize(
    ("key_type", "by"), [("RSA-PSS", by_rsa), ("ECC_SECP384R1", by_curve), ("DSA", by_dsa)], ids=["rsa", "ecc", "dsa"]
)
async def test_data_are_kept_if_they_are_what_was_signed(
    client: Client, keys: Barbican, tmp_path: Path, key_type: str, by: Callable[[bytes], tuple[bytes, Any]]
) -> None:
    path = await client.create(**signed(keys, key_type, by))
    assert await put(client, path, ALTERED) == 400
    assert (await client.show(path))["status"] == "queued"
    assert [file for file in (tmp_path / "images").rglob("*") if file.is_file()] == []
    assert await put(client, path, DATA) == 204
    assert (await client.show(path))["status"] == "active"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("img_signature", "no base64"),
        ("img_signature", ""),
        ("img_signature", base64.b64encode(b"another").decode()),
        ("img_signature_hash_method", "SHA-1"),
        ("img_signature_hash_method", "SHA-512"),
        ("img_signature_key_type", "RSA"),
        ("img_signature_key_type", "DSA"),
        ("img_signature_certificate_uuid", "5f3ad3a1-6a7c-4f0e-9d25-0c6b3f9b1a77"),
        ("img_signature_certificate_uuid", "../../v1/orders"),
    ],
)
async def test_a_signature_that_cannot_be_verified_keeps_the_data_out(
    client: Client, keys: Barbican, name: str, value: str
) -> None:
    path = await client.create(**signed(keys) | {name: value})
    assert await put(client, path, DATA) == 400
    assert (await client.show(path))["status"] == "queued"


async def test_what_is_no_certificate_verifies_nothing(client: Client, keys: Barbican) -> None:
    for secret in (keys.keep(certificate(rsa_key()), "opaque"), keys.keep(b"junk"), keys.keep(bytes(300 * 1024))):
        path = await client.create(**signed(keys) | {"img_signature_certificate_uuid": secret})
        assert await put(client, path, DATA) == 400


@pytest.mark.parametrize(
    ("key_type", "content"), [("RSA-PSS", RSA_512), ("ECC_SECT409K1", SECT409K1)], ids=["too short", "curve not known"]
)
async def test_a_key_that_cannot_verify_keeps_the_data_out(
    client: Client, keys: Barbican, key_type: str, content: bytes
) -> None:
    named = {"img_signature_key_type": key_type, "img_signature_certificate_uuid": keys.keep(content)}
    path = await client.create(**signed(keys) | named | {"img_signature_hash_method": "SHA-512"})
    assert await put(client, path, DATA) == 400
    assert (await client.show(path))["status"] == "queued"


async def test_an_image_that_lacks_a_part_of_its_signature_is_not_signed(client: Client, keys: Barbican) -> None:
    properties = signed(keys)
    del properties["img_signature_key_type"]
    assert await put(client, await client.create(**properties), ALTERED) == 204


@pytest.mark.parametrize(("data", "status"), [(DATA, "active"), (ALTERED, "queued")])
async def test_imported_data_are_verified_too(client: Client, keys: Barbican, data: bytes, status: str) -> None:
    path = await client.create(**signed(keys))
    assert (await client.ask("PUT", f"{path}/stage", data=data, headers=OCTETS)).status == 204
    assert (await client.ask("POST", f"{path}/import", json={"method": {"name": "glance-direct"}})).status == 202
    async with asyncio.timeout(60):
        while LOCK in (image := await client.show(path)):  # noqa: ASYNC110 - a task of Glint's
            await asyncio.sleep(0.02)
    assert image["status"] == status


async def test_the_key_of_an_encrypted_image_goes_with_it_if_the_image_says_so(client: Client, keys: Barbican) -> None:
    kept, going = keys.keep(b"key", "symmetric"), keys.keep(b"key", "symmetric")
    stays = await client.create(cinder_encryption_key_id=kept)
    says_so = {"cinder_encryption_key_deletion_policy": "on_image_deletion"}
    for path in (
        stays,
        await client.create(cinder_encryption_key_id=going, **says_so),
        await client.create(cinder_encryption_key_id=str(uuid4()), **says_so),
    ):
        assert (await client.ask("DELETE", path)).status == 204
    assert set(keys.secrets) == {kept}
