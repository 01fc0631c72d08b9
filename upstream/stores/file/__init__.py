"""Images as files."""

from upstream.stores.file.config import FileStoreConfig, FolderConfig
from upstream.stores.file.files import Folder, create_part, sync_dir, translated
from upstream.stores.file.store import FileStore, open_store

__all__ = [
    "FileStore",
    "FileStoreConfig",
    "Folder",
    "FolderConfig",
    "create_part",
    "open_store",
    "sync_dir",
    "translated",
]
