"""Large parts of an image read by several requests at once, and handed out in order."""

from upstream.stores.parallel.budget import Budget
from upstream.stores.parallel.reading import Parallel, Read

__all__ = ["Budget", "Parallel", "Read"]
