"""GET /v2/schemas/metadefs/*."""

from tests.parity.model import Case, case, get, request

_SCHEMAS = (
    *("namespace", "namespaces", "resource_type", "resource_types", "property", "properties"),
    *("object", "objects", "tag", "tags"),
)

CASES: tuple[Case, ...] = (
    *(case(f"schema metadefs/{name}", get(f"/v2/schemas/metadefs/{name}")) for name in _SCHEMAS),
    case(
        "schemas of metadata definitions and methods",
        get("/v2/schemas/metadefs/namespace", by="anonymous"),
        get("/v2/schemas/metadefs/none"),
        get("/v2/schemas/metadefs"),
        request("POST", "/v2/schemas/metadefs/tag"),
        request("POST", "/v2/schemas/metadefs/none"),
        request("GET", "/v2/schemas/metadefs/tags", json_body={}),
    ),
)
