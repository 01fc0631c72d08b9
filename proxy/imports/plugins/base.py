"""What a plugin gets, and what it gives."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.api.config import ApiConfig
from upstream.registry import ImageChanges
from upstream.stores import Staging
from upstream.types import Context, Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An import under way. `image` is as the plugins before left it; `limit_bytes` is what its data may become."""

    context: Context
    image: Image
    staging: Staging
    limit_bytes: int
    config: ApiConfig


Plugin = Callable[[Subject], Awaitable[ImageChanges]]
"""Changes staged data in place, and gives what the image is then. Raises TaskFailed, RequestError, UpstreamError."""
