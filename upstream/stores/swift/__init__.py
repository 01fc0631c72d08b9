"""Images in OpenStack Swift. What speaks to it is loaded by `kinds.py`, when there is such a store."""

from upstream.stores.swift.config import Reference, SwiftStoreConfig

__all__ = ["Reference", "SwiftStoreConfig"]
