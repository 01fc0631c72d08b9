"""How one Glint asks another one's registry: operations, their JSON, who asks, and how both sides know each other."""

from upstream.registry.wire.codec import Unreadable, dumps, loads
from upstream.registry.wire.errors import from_document, to_document
from upstream.registry.wire.identity import from_headers, to_headers
from upstream.registry.wire.operations import OPERATIONS, Operation
from upstream.registry.wire.signing import SIGNATURE, Gate, Headers, Line, Mistaken, Refused, Sealed

PREFIX = "/v1/"
"""Of every operation's path. What an older Glint would misunderstand goes to another one."""

__all__ = [
    "OPERATIONS",
    "PREFIX",
    "SIGNATURE",
    "Gate",
    "Headers",
    "Line",
    "Mistaken",
    "Operation",
    "Refused",
    "Sealed",
    "Unreadable",
    "dumps",
    "from_document",
    "from_headers",
    "loads",
    "to_document",
    "to_headers",
]
