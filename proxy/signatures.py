"""Signatures of image data: what an image's properties say of one, and whether the data are what was signed. Pure.

Source: cursive/signature_utils.py and verifiers.py, which Glance asks; glance/location.py, ImageProxy.set_data.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa, utils

from proxy.errors import BadRequest

_SIGNATURE, _METHOD = "img_signature", "img_signature_hash_method"
_KEY_TYPE, _CERTIFICATE = "img_signature_key_type", "img_signature_certificate_uuid"
_NAMES = frozenset({_SIGNATURE, _METHOD, _KEY_TYPE, _CERTIFICATE})

_METHODS: Mapping[str, type[hashes.HashAlgorithm]] = MappingProxyType(
    {"SHA-224": hashes.SHA224, "SHA-256": hashes.SHA256, "SHA-384": hashes.SHA384, "SHA-512": hashes.SHA512}
)
_CURVES = ("SECT571K1", "SECT409K1", "SECT571R1", "SECT409R1", "SECP521R1", "SECP384R1")
_KEYS: Mapping[str, type] = MappingProxyType(
    {"RSA-PSS": rsa.RSAPublicKey, "DSA": dsa.DSAPublicKey}
    | {f"ECC_{curve}": ec.EllipticCurvePublicKey for curve in _CURVES}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What the properties of an image say, looked at."""

    value: bytes
    method: str
    key_type: str
    certificate_id: str

    @classmethod
    def of(cls, properties: Mapping[str, str | None]) -> Self | None:
        """None for an image that lacks one of the four properties: it is not signed. Raises BadRequest."""
        if _NAMES - properties.keys():
            return None
        said = {name: properties[name] or "" for name in _NAMES}
        try:
            value = base64.b64decode(said[_SIGNATURE].encode())
        except (binascii.Error, UnicodeEncodeError):
            raise BadRequest(f"{_SIGNATURE} must be in base64.") from None
        if not value:
            raise BadRequest(f"{_SIGNATURE} is empty.")
        for name, known in ((_METHOD, _METHODS), (_KEY_TYPE, _KEYS)):
            if said[name] not in known:
                raise BadRequest(f"{name} is {said[name][:40]!r}, it must be one of {', '.join(known)}.")
        return cls(value=value, method=said[_METHOD], key_type=said[_KEY_TYPE], certificate_id=said[_CERTIFICATE])


class Verifier:
    """Digests the data in the order of `update`; `verify` comes last. Blocks: call it in threads."""

    def __init__(self, signature: Signature, certificate: bytes) -> None:
        """`certificate` is PEM. Raises BadRequest for one that cannot be read, or has a key of another type."""
        self._signature, self._method = signature, _METHODS[signature.method]()
        try:
            key = x509.load_pem_x509_certificate(certificate).public_key()
        except (ValueError, TypeError) as error:
            raise BadRequest(f"The certificate {signature.certificate_id} cannot be read.") from error
        except UnsupportedAlgorithm as error:
            reason = f"has a key that cannot be used here: {error}"
            raise BadRequest(f"The certificate {signature.certificate_id} {reason}.") from error
        if not isinstance(key, _KEYS[signature.key_type]):
            raise BadRequest(f"The certificate {signature.certificate_id} has no key of type {signature.key_type}.")
        self._key = key
        self._digest = hashes.Hash(self._method)

    def update(self, piece: bytes) -> None:
        self._digest.update(piece)

    def verify(self) -> None:
        """Raises BadRequest if the data are not what was signed."""
        digest, hashed = self._digest.finalize(), utils.Prehashed(self._method)
        try:
            match self._key:
                case rsa.RSAPublicKey() as key:
                    pss = padding.PSS(mgf=padding.MGF1(self._method), salt_length=padding.PSS.MAX_LENGTH)
                    key.verify(self._signature.value, digest, pss, hashed)
                case dsa.DSAPublicKey() as key:
                    key.verify(self._signature.value, digest, hashed)
                case ec.EllipticCurvePublicKey() as key:
                    key.verify(self._signature.value, digest, ec.ECDSA(hashed))
        except InvalidSignature:
            raise BadRequest("The data are not those that the image's signature is of.") from None
        except ValueError as error:  # a key that is too short for the digest
            raise BadRequest(f"The signature cannot be verified: {error}") from error
