"""Images in a Ceph. What needs its libraries is loaded by `kinds.py`, when there is such a store."""

from upstream.stores.rbd.bindings import BindingsMissing, load_bindings
from upstream.stores.rbd.config import RbdStoreConfig

__all__ = ["BindingsMissing", "RbdStoreConfig", "load_bindings"]
