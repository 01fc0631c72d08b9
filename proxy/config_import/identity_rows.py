"""Rows of who asks: Keystone, tokens, the pipeline before the API. Pure.

Source: keystonemiddleware/auth_token; keystoneauth1/loading; glance-api-paste.ini.
"""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

from oslo_config import types

from proxy.config_import.conf import DEFAULT, Assignment
from proxy.config_import.options import BOOLEAN, INTEGER, ITEMS, NUMBER, Given, Option, Source
from proxy.config_import.outcomes import Dropped, Failing, Mapped, Outcome
from proxy.config_import.rows import Import, Row, by_default, choice, gone, mapped, same
from proxy.config_import.tokens_rows import ROWS as TOKEN_ROWS

SECTION = "keystone_authtoken"
_KEYSTONE = ("auth", "keystone")


def _option(name: str, *older: str, default: str | None = None) -> Option:
    return Option(SECTION, name, older=tuple((SECTION, each) for each in older), default=default)


FLAVOR = Option("paste_deploy", "flavor")
PASTE_FILE = Option("paste_deploy", "config_file")
BIND_HOST = Option(DEFAULT, "bind_host", default="0.0.0.0")  # noqa: S104 - what Glance does
DELAY = Option(SECTION, "delay_auth_decision", BOOLEAN, default="false")
AUTH_SECTION = _option("auth_section")
AUTH_TYPE = _option("auth_type", "auth_plugin")
AUTH_URL = _option("auth_url")
PUBLIC_URL = _option("www_authenticate_uri", "auth_uri")
IDENTITY_URI = _option("identity_uri")
AUTH_HOST = _option("auth_host", default="127.0.0.1")
AUTH_PORT = _option("auth_port", default="35357")
AUTH_PROTOCOL = _option("auth_protocol", default="https")
USERNAME = _option("username", "user_name", "user-name", "admin_user")
PASSWORD = _option("password", "admin_password")
PROJECT_NAME = _option("project_name", "tenant_name", "tenant-name", "admin_tenant_name")
USER_DOMAIN = _option("user_domain_name")
USER_DOMAIN_ID = _option("user_domain_id")
PROJECT_DOMAIN = _option("project_domain_name")
PROJECT_DOMAIN_ID = _option("project_domain_id")
DEFAULT_DOMAIN = _option("default_domain_name")
DEFAULT_DOMAIN_ID = _option("default_domain_id")
USER_ID = _option("user_id")
PROJECT_ID = _option("project_id", "tenant_id", "tenant-id")
OTHER_SCOPES = tuple(_option(name) for name in ("system_scope", "domain_id", "domain_name", "trust_id"))
CAFILE = _option("cafile")
INSECURE = Option(SECTION, "insecure", BOOLEAN, default="false")
CLIENT_FILES = (_option("certfile"), _option("keyfile"))
REQUIRED_ROLES = Option(SECTION, "service_token_roles_required", BOOLEAN, default="true")
_At = Callable[[Option], Option]  # where the options of the login stand
_LOGINS = {"password", "v3password", "v2password"}
_KNOWN_FILTERS = ("glance.", "keystonemiddleware.auth_token", "oslo_middleware", "oslo.middleware", "osprofiler")
_SYSTEM_CAS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")


def _pipeline(work: Import) -> Iterator[Outcome]:
    """Who is asked about tokens. Without a paste file at hand, the flavor's name says it, as in Glance's own."""
    source, flavor = work.source, work.source.get(FLAVOR)
    name = flavor.value if flavor else ""
    said = flavor.said if flavor else ()
    known = work.paste is not None and work.paste.pipeline(name) is not None
    filters = work.paste.filters(name) if work.paste and known else name.replace("keystone", "authtoken").split("+")
    note = None if said else f"Glance's default of {FLAVOR}: no authentication"
    yield Mapped(("auth", "kind"), "keystone" if "authtoken" in filters else "none", said, note)
    if "authtoken" not in filters:
        yield from _unauthenticated(said, source, is_trusting="trusted-auth" in filters)
    if given := source.get(PASTE_FILE):
        found = "read for its filters and their options" if work.paste else "not found; taken for Glance's own"
        yield Dropped(given.said, f"Glint's pipeline is fixed; the file was {found}")
    yield from _foreign_filters(work, name, filters if known else [])


def _unauthenticated(said: tuple[Assignment, ...], source: Source, *, is_trusting: bool) -> Iterator[Outcome]:
    host = source.get(BIND_HOST)
    yield Mapped(("server", "host"), "127.0.0.1", host.said if host else (), "without authentication on loopback only")
    reason = "without keystone in the flavor everyone is admin: Glint serves that on loopback only"
    yield Failing(said, "Glint believes no identity in headers: let it ask Keystone" if is_trusting else reason)


def _foreign_filters(work: Import, flavor: str, filters: list[str]) -> Iterator[Outcome]:
    pipeline = work.paste.pipeline(flavor) if work.paste else None
    for name in filters if work.paste and pipeline else ():
        factory = work.paste.factory(name) if work.paste else ""
        if factory and not factory.startswith(_KNOWN_FILTERS) and pipeline:
            yield Dropped((pipeline,), f"filter {name} ({factory}) is none of Glance's: Glint's pipeline is fixed")


def _delay(work: Import) -> Iterator[Outcome]:
    """The paste file's filter wins over the section, and Glance's own one says true. So is Glint's default."""
    key, paste = (*_KEYSTONE, DELAY.name), work.paste
    given = work.source.get(DELAY)
    in_paste = paste.option("filter:authtoken", DELAY.name) if paste else None
    if in_paste:
        yield Mapped(key, types.Boolean()(in_paste.text), (in_paste,))
        if given:
            yield Dropped(given.said, f"{in_paste.where} wins over it")
    elif given and paste:
        yield Mapped(key, given.value, given.said)
    elif given:
        yield Dropped(given.said, "Glance's own paste file says true, and wins over it; so does Glint")
    elif paste and paste.factory("authtoken"):
        yield Mapped(key, work.source.value(DELAY), (), f"{by_default(DELAY)}, of which its paste file says nothing")


def _login(work: Import) -> Iterator[Outcome]:
    source, section = work.source, SECTION
    if given := source.get(AUTH_SECTION):
        section = given.value
        yield Dropped(given.said, f"read: the login is taken from [{section}]")

    def at(option: Option) -> Option:
        return option if section == SECTION else option.within(section)

    if (kind := source.get(at(AUTH_TYPE))) and kind.value.lower() not in _LOGINS:
        yield Failing(kind.said, "Glint logs in by name and password only: give auth.keystone a user with a password")
    elif kind:
        yield Dropped(kind.said, "Glint logs in by name and password anyway")
    yield from _address(source, at)
    yield from mapped(source, at(USERNAME), (*_KEYSTONE, "username"))
    yield from mapped(source, at(PASSWORD), (*_KEYSTONE, "password"), secret=True)
    yield from mapped(source, at(PROJECT_NAME), (*_KEYSTONE, "project_name"))
    yield from _domain(source, "user_domain_name", at(USER_DOMAIN), at(USER_DOMAIN_ID), at)
    yield from _domain(source, "project_domain_name", at(PROJECT_DOMAIN), at(PROJECT_DOMAIN_ID), at)
    for option, name in ((at(USER_ID), at(USERNAME)), (at(PROJECT_ID), at(PROJECT_NAME))):
        if by_id := source.get(option):
            if source.get(name):
                yield Dropped(by_id.said, f"{name} says the same")
            else:
                yield Failing(by_id.said, f"Glint knows it by name only: set auth.keystone.{name.name}")
    for option in OTHER_SCOPES:
        if scope := source.get(at(option)):
            yield Dropped(scope.said, "Glint logs in to a project (auth.keystone.project_name)")


def _address(source: Source, at: _At) -> Iterator[Outcome]:
    key = (*_KEYSTONE, "auth_url")
    given, older = source.get(at(AUTH_URL)), source.get(IDENTITY_URI)
    parts = {option: source.get(option) for option in (AUTH_HOST, AUTH_PORT, AUTH_PROTOCOL)}
    said = tuple(one for part in parts.values() if part for one in part.said)
    if given:
        yield _url(key, given)
        if said or older:
            yield Dropped((*said, *(older.said if older else ())), f"{AUTH_URL} says it")
    elif older:
        yield _url(key, older)
        if said:
            yield Dropped(said, f"{IDENTITY_URI} says it")
    elif said:
        host = source.value(AUTH_HOST)
        host = f"[{host}]" if ":" in host else host
        yield Mapped(key, f"{source.value(AUTH_PROTOCOL)}://{host}:{source.value(AUTH_PORT)}", said)
    elif public := source.get(PUBLIC_URL):
        yield _url(key, public, "the only address of Keystone that is given")
    if public := source.get(PUBLIC_URL):
        yield _url((*_KEYSTONE, "www_authenticate_uri"), public)


def _url(key: tuple[str, ...], given: Given, note: str | None = None) -> Mapped:
    """Glint speaks version 3 alone; `/v2.0` at the end is no part of Keystone's address."""
    parts = urlsplit(given.value)
    path = parts.path.rstrip("/")
    if not path.endswith("/v2.0"):
        return Mapped(key, given.value, given.said, note)
    return Mapped(
        key,
        urlunsplit((parts.scheme, parts.netloc, f"{path.removesuffix('/v2.0')}/v3", parts.query, parts.fragment)),
        given.said,
        "there is no version 2.0 of Keystone's API any more",
    )


def _domain(source: Source, key: str, name: Option, by_id: Option, at: _At) -> Iterator[Outcome]:
    """By name, else by id, else the default domain's: keystoneauth's order."""
    place = (*_KEYSTONE, key)
    given, given_id = source.get(name), source.get(by_id)
    if given:
        yield Mapped(place, given.value, given.said)
        if given_id:
            yield Dropped(given_id.said, f"{name} says it")
        return
    if given_id is None:
        if fallback := source.get(at(DEFAULT_DOMAIN)):
            yield Mapped(place, fallback.value, fallback.said)
        given_id = source.get(at(DEFAULT_DOMAIN_ID)) if fallback is None else None
    if given_id and given_id.value == "default":
        yield Mapped(
            place, "Default", given_id.said, "the name of the domain with the id default, as Keystone makes it"
        )
    elif given_id:
        yield Failing(given_id.said, f"Glint knows domains by name: set auth.{'.'.join(place[1:])}")


def _encryption(work: Import) -> Iterator[Outcome]:
    source = work.source
    address = source.get(AUTH_URL) or source.get(IDENTITY_URI) or source.get(PUBLIC_URL)
    matters = address is not None and address.value.startswith("https:")
    if (given := source.get(CAFILE)) and matters and given.value not in _SYSTEM_CAS:
        yield Failing(given.said, "Glint trusts the system's authorities: add these, or set SSL_CERT_FILE for Glint")
    elif given:
        yield Dropped(given.said, "Glint trusts the system's authorities")
    if (insecure := source.get(INSECURE)) and insecure.value and matters:
        yield Failing(insecure.said, "Glint always looks at Keystone's certificate: let the system trust its authority")
    elif insecure:
        yield Dropped(insecure.said, "Glint always looks at Keystone's certificate")
    for option in CLIENT_FILES:
        if (given := source.get(option)) and matters:
            yield Failing(given.said, "Glint shows Keystone no certificate of its own")
        elif given:
            yield Dropped(given.said, "without https to Keystone it has no effect")


def _required_roles(work: Import) -> Iterator[Outcome]:
    if given := work.source.get(REQUIRED_ROLES):
        reason = "Glint always asks for one of auth.keystone.service_token_roles"
        yield Dropped(given.said, reason)


def _interface(text: str) -> str:
    return str(choice({name: name for name in ("internal", "public", "admin")})(text.removesuffix("URL")))


ROWS = (
    Row((FLAVOR, PASTE_FILE, BIND_HOST), _pipeline),
    Row((DELAY,), _delay),
    Row(
        (
            *(AUTH_SECTION, AUTH_TYPE, AUTH_URL, PUBLIC_URL, IDENTITY_URI, AUTH_HOST, AUTH_PORT, AUTH_PROTOCOL),
            *(USERNAME, PASSWORD, PROJECT_NAME, USER_DOMAIN, USER_DOMAIN_ID, PROJECT_DOMAIN, PROJECT_DOMAIN_ID),
            *(DEFAULT_DOMAIN, DEFAULT_DOMAIN_ID, USER_ID, PROJECT_ID, *OTHER_SCOPES),
        ),
        _login,
    ),
    Row((CAFILE, INSECURE, *CLIENT_FILES), _encryption),
    same(_option("region_name"), "auth.keystone.region_name", lambda text: text or None),
    same(_option("interface", default="internal"), "auth.keystone.interface", _interface),
    same(Option(SECTION, "http_connect_timeout", NUMBER), "auth.keystone.http_connect_timeout_s"),
    same(
        Option(SECTION, "http_request_max_retries", INTEGER, default="3"),
        "auth.keystone.http_request_max_retries",
        lambda number: max(0, min(number, 10)),
    ),
    same(Option(SECTION, "service_token_roles", ITEMS, default="service"), "auth.keystone.service_token_roles"),
    Row((REQUIRED_ROLES,), _required_roles),
    same(Option(DEFAULT, "allow_anonymous_access", BOOLEAN, default="false"), "auth.allow_anonymous_access"),
    gone("Glint speaks version 3 of Keystone's API", (SECTION, "auth_version"), (SECTION, "auth_admin_prefix")),
    gone("Glint logs in by name and password", (SECTION, "application_credential_*")),
    gone("Glint asks Keystone for no catalogue with a token", (SECTION, "include_service_catalog")),
    gone("tokens that are bound to a client are gone from Keystone", (SECTION, "enforce_token_bind")),
    gone(
        "rules of access of application credentials are Keystone's own to keep; Glint names no service",
        (SECTION, "service_type"),
    ),
    gone(
        "tokens of files and their revocation lists are gone from Keystone",
        *((SECTION, name) for name in ("signing_dir", "check_revocations_for_cached", "hash_algorithms")),
        *((SECTION, name) for name in ("revocation_cache_time", "admin_token")),
    ),
    gone(
        "Glint has its connections to Keystone to itself", *((SECTION, name) for name in ("timeout", "split_loggers"))
    ),
    gone(
        "Glint's sessions with Keystone need none of these",
        *((SECTION, name) for name in ("collect_timing", "connect_retries", "status_code_*", "connect_retry_delay")),
        *((SECTION, name) for name in ("tls_*", "min_version", "max_version", "version", "valid_interfaces")),
        *((SECTION, name) for name in ("endpoint_override", "service_name", "retriable_status_codes")),
    ),
    *TOKEN_ROWS,
)
