"""TLS as configured: of a server of ours, and of what our clients believe."""

import ssl
from pathlib import Path
from typing import Self

from pydantic import BaseModel, model_validator


class TlsConfig(BaseModel, frozen=True, extra="forbid"):
    """`server.tls`, `registry.service.tls`: both files or neither."""

    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("expected both certificate and key, or neither")
        return self


def client_context(ca_file: Path | None, *, verify: bool) -> ssl.SSLContext | bool:
    """What aiohttp takes. Reads files. True: its own context, which knows whom the system trusts; that is read once."""
    if verify:
        return ssl.create_default_context(cafile=ca_file) if ca_file else True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
