"""An existing Glance behind Glint: what it is asked, as whom, and what its answers say."""

from upstream.registry.glance.bearers import Bearer, Bearers
from upstream.registry.glance.client import Glance, Operation, open_glance
from upstream.registry.glance.documents import image_of

__all__ = ["Bearer", "Bearers", "Glance", "Operation", "image_of", "open_glance"]
