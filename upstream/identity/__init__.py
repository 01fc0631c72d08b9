from upstream.identity.config import AuthConfig, KeystoneConfig
from upstream.identity.context import Document, context_of, expires_at_s, is_bound, is_token, permits, roles_of
from upstream.identity.keystone import Keystone

__all__ = [
    "AuthConfig",
    "Document",
    "Keystone",
    "KeystoneConfig",
    "context_of",
    "expires_at_s",
    "is_bound",
    "is_token",
    "permits",
    "roles_of",
]
