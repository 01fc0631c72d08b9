"""Images as files."""

from upstream.stores.file.config import FileStoreConfig
from upstream.stores.file.files import Folder, create_part, sync_dir
from upstream.stores.file.store import FileStore, open_store

__all__ = ["FileStore", "FileStoreConfig", "Folder", "create_part", "open_store", "sync_dir"]
