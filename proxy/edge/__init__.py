"""Glint before an existing Glance: metadata are Glance's, image data come out of the cache."""

from proxy.edge.app import build_edge_app
from proxy.edge.services import EdgeServices, open_edge

__all__ = ["EdgeServices", "build_edge_app", "open_edge"]
