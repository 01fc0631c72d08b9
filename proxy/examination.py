"""What is learnt of image data on their way into a store, and what ends them."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from proxy.api.config import ApiConfig
from proxy.api.image_formats import FormatInspection
from proxy.api.validation_data import HASHING_ALGORITHM
from proxy.errors import BadRequest, TooLarge
from proxy.signatures import Signature, Verifier
from upstream.errors import UpstreamError
from upstream.keys import Keys
from upstream.types import Context, Image


async def verifier_of(image: Image, keys: Keys, context: Context) -> Verifier | None:
    """None for an image that is not signed. Raises BadRequest for a signature that nobody can verify."""
    signature = Signature.of(image.properties)
    if signature is None:
        return None
    try:
        certificate = await keys.certificate(signature.certificate_id, context.token)
    except UpstreamError as error:
        raise BadRequest(f"The certificate of the image's signature cannot be had: {error}") from error
    return Verifier(signature, certificate)


class Examination:
    """What is learnt of the data while they pass. Digests of a piece run while the store writes that piece."""

    def __init__(self, image: Image, expected_bytes: int | None, config: ApiConfig) -> None:
        self._expected_bytes, self._limit_bytes = expected_bytes, config.image_size_cap
        self.room_bytes: int | None = None
        self.verifier: Verifier | None = None  # of a signed image
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha512 = hashlib.sha512()
        self._formats = FormatInspection(
            disk_format=image.disk_format, container_format=image.container_format, config=config
        )
        self._size_bytes = 0
        self._virtual_size_bytes: int | None = None

    async def passed_on(self, data: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """The same data. Raises before their end if they are not what was announced, so that no store keeps them."""
        loop = asyncio.get_running_loop()
        running: list[asyncio.Future[None]] = []
        async with aclosing(data):
            async for piece in data:
                self._count(piece)
                # Pieces are digested in order: the one before has to be through. Reading this one ran beside it.
                for future in running:
                    await future
                running = [loop.run_in_executor(None, digest, piece) for digest in self._digests()]
                yield piece
        for future in running:
            await future
        if self._expected_bytes is not None and self._size_bytes != self._expected_bytes:
            raise BadRequest(f"Size mismatch: expected {self._expected_bytes} bytes, got {self._size_bytes} bytes")
        if self.verifier is not None:
            await loop.run_in_executor(None, self.verifier.verify)
        self._virtual_size_bytes = await loop.run_in_executor(None, self._formats.finish)

    def columns(self) -> dict[str, Any]:
        """What the image is then, by the registry's names."""
        return {
            "size": self._size_bytes,
            "virtual_size": self._virtual_size_bytes,
            "checksum": self._md5.hexdigest(),
            "os_hash_algo": HASHING_ALGORITHM,
            "os_hash_value": self._sha512.hexdigest(),
        }

    def _digests(self) -> list[Callable[[bytes], None]]:
        digests = [self._sha512.update, self._look_at]
        return digests if self.verifier is None else [*digests, self.verifier.update]

    def _look_at(self, piece: bytes) -> None:
        self._md5.update(piece)
        self._formats.eat(piece)

    def _count(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        if self._expected_bytes is not None and self._size_bytes > self._expected_bytes:
            raise BadRequest(f"Size exceeds: expected {self._expected_bytes} bytes, got {self._size_bytes} bytes")
        if self._size_bytes > self._limit_bytes:
            raise TooLarge(f"The image has more than the {self._limit_bytes} bytes that are allowed.")
        if self.room_bytes is not None and self._size_bytes > self.room_bytes:
            raise TooLarge(f"The image has more than the {self.room_bytes} bytes that are left of the project's quota.")
