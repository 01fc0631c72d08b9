"""Rows of where tokens are remembered, and of what projects may use. Pure."""

from collections.abc import Iterator

from proxy.config_import.conf import DEFAULT
from proxy.config_import.options import BOOLEAN, INTEGER, ITEMS, Option
from proxy.config_import.outcomes import Dropped, Mapped, Outcome
from proxy.config_import.rows import Import, Row, choice, gone, mapped, same

SECTION = "keystone_authtoken"
LIMITS = "oslo_limit"

SERVERS = Option(SECTION, "memcached_servers", ITEMS, older=((SECTION, "memcache_servers"),))
STRATEGY = Option(SECTION, "memcache_security_strategy", default="None")
SECRET = Option(SECTION, "memcache_secret_key")
ENCRYPTED = Option(SECTION, "memcache_tls_enabled", BOOLEAN, default="false")
SASL = Option(SECTION, "memcache_sasl_enabled", BOOLEAN, default="false")
TTL = Option(SECTION, "token_cache_time", INTEGER, default="300")
REGION = Option(LIMITS, "endpoint_region_name")
OWN_REGION = Option(SECTION, "region_name")
_PORT = 11211


def server(text: str) -> str:
    """As Glint names it: with its port, an IPv6 address in brackets."""
    text = text.strip()
    if text.startswith("unix:"):
        return text
    if text.startswith("inet6:"):
        text = text.removeprefix("inet6:")
        host, bracket, rest = text.partition("]")
        text = f"{host}]{rest}" if bracket else f"[{text}]"
    text = text.removeprefix("inet:")
    bare = text.rpartition("]")[2] if text.startswith("[") else text
    if bare.count(":") > 1:
        text, bare = f"[{text}]", ""
    return text if ":" in bare else f"{text}:{_PORT}"


def _shared(work: Import) -> Iterator[Outcome]:
    """Plain values in memcached where Glance has plain ones: what it writes there, Glint does not read, nor it ours."""
    source = work.source
    servers, strategy = source.get(SERVERS), source.get(STRATEGY)
    out_of_reach = [given for option in (ENCRYPTED, SASL) if (given := source.get(option)) and given.value]
    for option in (ENCRYPTED, SASL):
        if (given := source.get(option)) and not given.value:
            yield Dropped(given.said, "neither does Glint")
    for given in out_of_reach:
        yield Dropped(given.said, "Glint speaks plain memcached only: it remembers tokens in its own memory instead")
    if servers and out_of_reach:
        yield Dropped(servers.said, "not used, as Glint could not speak to them; tokens are remembered in memory")
    elif servers:
        yield Mapped(("token_cache", "memcached_servers"), [server(each) for each in servers.value], servers.said)
    key = ("token_cache", "security_strategy")
    if strategy:
        words = {"none": "none", "mac": "mac", "encrypt": "encrypt", "": "none"}
        yield from mapped(source, STRATEGY, key, choice(words))
    elif servers and servers.value and not out_of_reach:
        yield Mapped(key, "none", (), f"Glance's default of {STRATEGY}; mac with a secret_key is safer")
    yield from mapped(source, SECRET, ("token_cache", "secret_key"), secret=True)


def _ttl(work: Import) -> Iterator[Outcome]:
    if given := work.source.get(TTL):
        yield Mapped(("token_cache", "ttl_s"), max(0, given.value), given.said)


def _region(work: Import) -> Iterator[Outcome]:
    given, own = work.source.get(REGION), work.source.get(OWN_REGION)
    if given and own and own.value != given.value:
        yield Dropped(given.said, f"Glint reads limits of auth.keystone.region_name, which {OWN_REGION} says")
    elif given:
        yield Mapped(("auth", "keystone", "region_name"), given.value, given.said)


ROWS = (
    Row((SERVERS, STRATEGY, SECRET, ENCRYPTED, SASL), _shared),
    Row((TTL,), _ttl),
    gone(
        "Glint's own connections to memcached need no settings; a dead server costs a little latency",
        *((SECTION, name) for name in ("memcache_pool_*", "memcache_use_advanced_pool", "memcache_tls_*")),
        *((SECTION, name) for name in ("memcache_username", "memcache_password")),
    ),
    gone("no other cache is there to share", (SECTION, "cache")),
    same(Option(DEFAULT, "use_keystone_limits", BOOLEAN, default="false"), "api.use_keystone_limits"),
    same(Option(LIMITS, "endpoint_service_type"), "auth.keystone.limits.service_type"),
    same(Option(LIMITS, "endpoint_service_name"), "auth.keystone.limits.service_name"),
    same(
        Option(LIMITS, "endpoint_interface", default="public"),
        "auth.keystone.limits.interface",
        choice({name: name for name in ("public", "internal", "admin")}),
    ),
    Row((REGION,), _region),
    gone(
        "Glint finds the service by type, name and region (auth.keystone.limits), and never by its id",
        (LIMITS, "endpoint_id"),
    ),
    gone("Glint reads limits as auth.keystone.username, who needs the role service or admin", (LIMITS, "*")),
)
