"""GET /v2/info/* and /v2/schemas/*."""

from tests.parity.model import ACCEPT_JSON, Case, case, get

_SCHEMAS = ("image", "images", "member", "members", "task", "tasks")

CASES: tuple[Case, ...] = (
    case(
        "import methods",
        get("/v2/info/import"),
        get("/v2/info/import", by="viewer"),
        get("/v2/info/import", by="anonymous"),
    ),
    case("stores", get("/v2/info/stores"), get("/v2/info/stores", by="admin"), get("/v2/info/stores", by="anonymous")),
    *(case(f"schema {name}", get(f"/v2/schemas/{name}")) for name in _SCHEMAS),
    case(
        "who may read a schema",
        get("/v2/schemas/member", by="viewer"),
        get("/v2/schemas/member", by="anonymous"),
        get("/v2/schemas/member", headers=ACCEPT_JSON),
        get("/v2/schemas/member?x=y"),
        get("/v2/schemas/member/"),
    ),
)
