"""Around every store: how much at once and for whom first, how long it may take, and when it is not asked at all."""

from upstream.stores.guard.guarded import Guarded
from upstream.stores.guard.purposes import Errand, Purpose

__all__ = ["Errand", "Guarded", "Purpose"]
