from upstream.identity.config import AuthConfig, KeystoneConfig, LimitsConfig
from upstream.identity.context import Document, context_of, expires_at_s, is_bound, is_token, permits, roles_of
from upstream.identity.keystone import Keystone
from upstream.identity.limits import KeystoneLimits

__all__ = [
    "AuthConfig",
    "Document",
    "Keystone",
    "KeystoneConfig",
    "KeystoneLimits",
    "LimitsConfig",
    "context_of",
    "expires_at_s",
    "is_bound",
    "is_token",
    "permits",
    "roles_of",
]
