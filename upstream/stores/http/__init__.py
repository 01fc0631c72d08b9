"""Images behind plain http and https."""

from upstream.stores.http.config import HttpStoreConfig, ProxyConfig
from upstream.stores.http.proxies import parse_proxy
from upstream.stores.http.store import HttpStore, chunks_of, open_store

__all__ = ["HttpStore", "HttpStoreConfig", "ProxyConfig", "chunks_of", "open_store", "parse_proxy"]
