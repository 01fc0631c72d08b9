"""Images in Amazon's S3, or what speaks its protocol. Its libraries are loaded when such a store is opened."""

from upstream.stores.s3.config import S3StoreConfig

__all__ = ["S3StoreConfig"]
