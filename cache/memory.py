"""The memory tier: aiocache with a limit."""

from collections import OrderedDict
from typing import Any

from aiocache import SimpleMemoryCache


class BoundedMemory(SimpleMemoryCache):  # type: ignore[misc]  # aiocache is untyped
    """aiocache's memory with a limit, which it has not of its own: what was not used for longest goes first.

    With aiocache's default time-out every call would make a task; without one a call never suspends.
    """

    def __init__(self, entries_max: int) -> None:
        super().__init__(timeout=0)
        self._cache: OrderedDict[str, Any] = OrderedDict()
        self._entries_max = entries_max

    async def get(self, key: str) -> Any:
        """Past aiocache's plugins, serializers and time-outs, of which there are none here: they cost 20 us a call."""
        value = self._cache.get(key)
        if value is not None:
            self._cache.move_to_end(key)
        return value

    async def _set(
        self, key: str, value: Any, ttl: float | None = None, _cas_token: Any = None, _conn: Any = None
    ) -> bool:
        stored: bool = await super()._set(key, value, ttl=ttl, _cas_token=_cas_token, _conn=_conn)
        self._cache.move_to_end(key)
        while len(self._cache) > self._entries_max:
            await self._delete(next(iter(self._cache)))
        return stored
