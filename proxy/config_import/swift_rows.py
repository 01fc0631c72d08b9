"""A Swift store's options and the accounts of its file, and what becomes of them. Pure.

Source: glance_store/_drivers/swift/utils.py, SwiftParams.
"""

from collections.abc import Callable, Iterator
from typing import Any

from proxy.config_import.conf import Assignment, ConfBroken, parse
from proxy.config_import.options import BOOLEAN, INTEGER, BadValue, Given, Option
from proxy.config_import.outcomes import Dropped, Failing, Key, Mapped, Outcome
from proxy.config_import.rows import Import, choice, mapped
from proxy.config_import.store_places import Place, option

REFERENCES = option("swift_store_config_file")
REFERENCE = option("default_swift_reference", default="ref1")
AUTH_VERSION = option("swift_store_auth_version")
MULTI_TENANT = option("swift_store_multi_tenant", BOOLEAN)
INSECURE = option("swift_store_auth_insecure", BOOLEAN)
_ACCOUNT = {
    "auth_address": option("swift_store_auth_address"),
    "user": option("swift_store_user"),
    "key": option("swift_store_key"),
    "application_credential_id": option("swift_store_application_credential_id"),
    "application_credential_secret": option("swift_store_application_credential_secret"),
}
_PROJECT = (option("swift_store_project_name"), option("swift_store_project_id"))
_SECRET = frozenset({"key", "application_credential_secret"})
_DOMAINS = ("user_domain_id", "user_domain_name", "project_domain_id", "project_domain_name")
_INTERFACES = {"publicurl": "public", "internalurl": "internal", "adminurl": "admin"}
_UNUSED: tuple[tuple[Option, str], ...] = (
    (option("swift_store_retry_get_count"), "Glint reads on whatever breaks off, as often as it takes"),
    (option("swift_store_ssl_compression"), "nobody compresses TLS any more"),
    (option("swift_store_use_trusts"), "Glint has accounts of its own, and no trusts of users"),
    (option("swift_store_admin_tenants"), "Glint gives no access to containers"),
    (option("swift_buffer_on_upload", BOOLEAN), "Glint keeps what is under way in memory, write_buffer_max of it"),
    (option("swift_upload_buffer_dir"), "Glint keeps what is under way in memory, write_buffer_max of it"),
)


def decide(work: Import, place: Place) -> Iterator[Outcome]:
    source = work.source
    if given := source.get(place.at(REFERENCES)):
        yield from _accounts_of_file(work, place, given)
    else:
        yield from _account(work, place)
    for asked, name, convert in _KEYS:
        yield from mapped(source, place.at(asked), (*place.key, name), convert)
    if insecure := source.get(place.at(INSECURE)):
        yield Mapped((*place.key, "verify_tls"), not insecure.value, insecure.said)
    if many := source.get(place.at(MULTI_TENANT)):
        if many.value:
            reason = "Glint writes to one account, not to those of its users; it reads there what its account may read"
            yield Failing(many.said, reason)
        else:
            yield Dropped(many.said, "so it is: one account")
    for unused, reason in _UNUSED:
        if given := source.get(place.at(unused)):
            yield Dropped(given.said, reason)


def _account(work: Import, place: Place) -> Iterator[Outcome]:
    """One, by the reference that is the default: rows hold its user and key."""
    source = work.source
    reference = source.value(place.at(REFERENCE))
    if named := source.get(place.at(REFERENCE)):
        yield Mapped((*place.key, "default_reference"), reference, named.said)
    given = {name: found for name, asked in _ACCOUNT.items() if (found := source.get(place.at(asked))) and found.value}
    yield from _reference((*place.key, "references", reference), given, str(place.at(_ACCOUNT["auth_address"])))
    if version := source.get(place.at(AUTH_VERSION)):
        yield from _version((*place.key, "references", reference), version)
    for project in _PROJECT:
        if said := source.get(place.at(project)):
            yield Dropped(said.said, "an application credential has its project, and a user names it")
    note = "as Glance writes them without swift_store_config_file; false keeps keys out of the database"
    yield Mapped((*place.key, "credentials_in_locations"), value=True, said=(), note=note)


def _accounts_of_file(work: Import, place: Place, file: Given) -> Iterator[Outcome]:
    found = work.beside.find(file.value)
    text = None if found is None else work.beside.read(found)
    if text is None:
        yield Failing(file.said, "the file of Swift's accounts cannot be read: fill in references")
        return
    yield Mapped((*place.key, "credentials_in_locations"), value=False, said=file.said)
    yield from mapped(work.source, place.at(REFERENCE), (*place.key, "default_reference"))
    for asked in (*_ACCOUNT.values(), *_PROJECT, AUTH_VERSION):
        if given := work.source.get(place.at(asked)):
            yield Dropped(given.said, f"{place.at(REFERENCES)} is given, and counts")
    try:
        said = parse(text, str(found))
    except ConfBroken as error:
        yield Failing((), str(error))
        return
    for section in dict.fromkeys(one.section for one in said):
        yield from _section((*place.key, "references", section), [one for one in said if one.section == section])


def _section(key: Key, said: list[Assignment]) -> Iterator[Outcome]:
    given = {one.name: Given(_unquoted(one.text), (one,)) for one in said}
    yield from _reference(key, given, f"auth_address of [{key[-1]}]")
    if version := given.get("auth_version"):
        yield from _version(key, version)
    for name, one in given.items():
        if name not in {*_ACCOUNT, *_DOMAINS, "auth_version"}:
            yield Dropped(one.said, "an application credential has its project, and nothing else is read of an account")


def _reference(key: Key, given: dict[str, Given], address: str) -> Iterator[Outcome]:
    """An application credential counts more than a user."""
    by_application = {"application_credential_id", "application_credential_secret"}
    by_user = {"user", "key"}
    chosen = by_application if by_application <= given.keys() else by_user
    if "auth_address" not in given or not chosen <= given.keys():
        said = tuple(one for found in given.values() for one in found.said)
        yield Failing(said, f"an account of Swift needs {address}, user and key, or an application credential")
        return
    for name in ("auth_address", *sorted(chosen)):
        value = _address(given[name].value) if name == "auth_address" else given[name].value
        yield Mapped((*key, name), value, given[name].said, secret=name in _SECRET)
    for name in sorted((by_application | by_user) - chosen):
        if name in given:
            yield Dropped(given[name].said, "the account logs in by other credentials")
    for name in _DOMAINS:
        if name in given and chosen == by_user:
            yield Mapped((*key, name), given[name].value, given[name].said)
        elif name in given:
            yield Dropped(given[name].said, "an application credential has its domains")


def _version(key: Key, given: Given) -> Iterator[Outcome]:
    if given.value == "1":
        yield Mapped((*key, "auth_version"), 1, given.said)
    else:
        yield Dropped(given.said, "so it is: version 3 of Keystone's API")


def _address(text: str) -> str:
    """Without a scheme Glance takes https. Version 2.0 of Keystone's API is gone."""
    address = text if text.startswith(("http://", "https://")) else f"https://{text}"
    bare = address.rstrip("/")
    return f"{bare.removesuffix('/v2.0')}/v3" if bare.endswith("/v2.0") else address


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0] else text


def _mib(number: int) -> str:
    if number < 1:
        raise BadValue("expected a number of megabytes; left out")
    return f"{number} MiB"


def _seed(number: int) -> int:
    if not 0 <= number <= 32:
        raise BadValue("expected a number from 0 to 32; left out")
    return number


def _seconds(number: int) -> int:
    return max(1, number)


_KEYS: tuple[tuple[Option, str, Callable[[Any], Any]], ...] = (
    (option("swift_store_container"), "container", str),
    (option("swift_store_create_container_on_put", BOOLEAN), "create_container", bool),
    (option("swift_store_multiple_containers_seed", INTEGER), "multiple_containers_seed", _seed),
    (option("swift_store_large_object_size", INTEGER), "large_object_size", _mib),
    (option("swift_store_large_object_chunk_size", INTEGER), "large_object_chunk_size", _mib),
    (option("swift_store_region"), "region", lambda text: text or None),
    (option("swift_store_endpoint"), "endpoint", lambda text: text or None),
    (option("swift_store_endpoint_type"), "endpoint_type", choice(_INTERFACES)),
    (option("swift_store_service_type"), "service_type", str),
    (option("swift_store_expire_soon_interval", INTEGER), "renew_before_s", _seconds),
    (option("swift_store_cacert"), "ca_file", lambda text: text or None),
)
OPTIONS = (
    *(REFERENCES, REFERENCE, AUTH_VERSION, MULTI_TENANT, INSECURE),
    *(*_ACCOUNT.values(), *_PROJECT),
    *(one for one, _, _ in _KEYS),
    *(one for one, _ in _UNUSED),
)
