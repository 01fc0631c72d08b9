"""Rows of what the Images API shows, accepts and limits, and of its disk cache. Pure."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from proxy.config_import.conf import DEFAULT
from proxy.config_import.options import BOOLEAN, INTEGER, ITEMS, MANY, NUMBER, PAIRS, TEXT, BadValue, Option
from proxy.config_import.outcomes import Dropped, Failing, Mapped, Outcome
from proxy.config_import.rows import Import, Row, by_default, gone, same
from proxy.config_import.yaml_text import size_text

CACHE_DIR = Option(DEFAULT, "image_cache_dir")
CACHE_MAX = Option(DEFAULT, "image_cache_max_size", INTEGER, default="10737418240")
PLUGINS = Option("image_import_opts", "image_import_plugins", ITEMS, default="")
IMPORT_ENABLED = Option(DEFAULT, "enable_image_import", BOOLEAN, default="true")
METHODS = Option(DEFAULT, "enabled_import_methods", ITEMS, default="[glance-direct,web-download,copy-image]")
PROTECTIONS = Option(DEFAULT, "property_protection_file")
POLICY = Option("oslo_policy", "policy_file", older=((DEFAULT, "policy_file"),), default="policy.yaml")
POLICY_DIRS = Option("oslo_policy", "policy_dirs", MANY, older=((DEFAULT, "policy_dirs"),), default="policy.d")
POLICY_DEFAULT = Option(
    "oslo_policy", "policy_default_rule", older=((DEFAULT, "policy_default_rule"),), default="default"
)
HASHING = Option(DEFAULT, "hashing_algorithm", default="sha512")
URL_KEY = Option(DEFAULT, "metadata_encryption_key")
BY_PROJECT = Option(DEFAULT, "owner_is_tenant", BOOLEAN, default="true")
V2_API = Option(DEFAULT, "enable_v2_api", BOOLEAN, default="true")
_PLUGINS = ("no_op", "inject_image_metadata", "image_conversion", "image_decompression")
_METHODS = ("glance-direct", "web-download", "copy-image", "glance-download")
_SCHEMA = "schema-image.json"


def _cache(work: Import) -> Iterator[Outcome]:
    """Glint's cache has a form of its own: a folder inside of Glance's leaves that usable for the way back."""
    folder, size = work.source.get(CACHE_DIR), work.source.get(CACHE_MAX)
    used = bool(folder and folder.value)
    if folder and used:
        place = str(PurePosixPath(folder.value) / "glint")
        yield Mapped(("cache", "dir"), place, folder.said, "beside Glance's own entries, which Glint does not read")
    yield Mapped(("api", "cache_api"), used, folder.said if folder else (), "there with a folder only, as in Glance")
    if size and size.value > 0:
        yield Mapped(("cache", "size_max"), size_text(size.value), size.said)
    elif size:
        yield Dropped(size.said, "Glint always caches; cache.size_max needs a size above 0")
    elif used:
        yield Mapped(("cache", "size_max"), size_text(work.source.value(CACHE_MAX)), (), by_default(CACHE_MAX))


def _plugins(work: Import) -> Iterator[Outcome]:
    if given := work.source.get(PLUGINS):
        yield Mapped(("api", "import_plugins"), [each for each in given.value if each in _PLUGINS], given.said)
        if foreign := [each for each in given.value if each not in _PLUGINS]:
            yield Failing(given.said, f"Glint has no import plugin {', '.join(foreign)}")


def _methods(work: Import) -> Iterator[Outcome]:
    key, enabled, given = ("api", "import_methods"), work.source.get(IMPORT_ENABLED), work.source.get(METHODS)
    if enabled and not enabled.value:
        yield Mapped(key, [], enabled.said)
        if given:
            yield Dropped(given.said, f"{IMPORT_ENABLED} is false")
        return
    if enabled:
        yield Dropped(enabled.said, "api.import_methods says it")
    if given:
        yield Mapped(key, [each for each in given.value if each in _METHODS], given.said)
        if foreign := [each for each in given.value if each not in _METHODS]:
            yield Dropped(given.said, f"there is no import method {', '.join(foreign)}")


def _policy(work: Import) -> Iterator[Outcome]:
    """policy.yaml, else policy.json: both are read as YAML. Source: oslo_policy/opts.py, pick_default_policy_file."""
    key, given = ("api", "policy_file"), work.source.get(POLICY)
    found = work.beside.find(given.value if given else "policy.yaml")
    if found is None and (given is None or given.value == "policy.yaml"):
        found = work.beside.find("policy.json")
    if found:
        yield Mapped(key, str(found), given.said if given else (), None if given else f"found: {found.name}")
    elif given:
        yield Dropped(given.said, "there is no such file; the built-in rules hold, which are Glance's")
    dirs = work.source.get(POLICY_DIRS)
    files = [file for name in work.source.value(POLICY_DIRS) for file in work.beside.files_in(name)]
    if files:
        names = ", ".join(str(file) for file in files)
        yield Failing(dirs.said if dirs else (), f"Glint reads one policy file: put the rules of {names} into it")
    elif dirs:
        yield Dropped(dirs.said, "there are no files in it")
    rule = work.source.get(POLICY_DEFAULT)
    if rule and rule.value != "default":
        yield Failing(rule.said, "in Glint, rules that there is none of are those of `default`: name yours so")
    elif rule:
        yield Dropped(rule.said, "so it is in Glint")


def _protections(work: Import) -> Iterator[Outcome]:
    given = work.source.get(PROTECTIONS)
    if not given or not given.value:
        return
    if found := work.beside.find(given.value):
        yield Mapped(("api", "property_protection_file"), str(found), given.said)
    else:
        yield Failing(given.said, "there is no such file: properties would be protected from nobody")


def _schema(work: Import) -> Iterator[Outcome]:
    if found := work.beside.find(_SCHEMA):
        yield Mapped(("api", "image_schema_file"), str(found), (), f"found: {_SCHEMA}")


def _one_value(work: Import) -> Iterator[Outcome]:
    """Options of which Glint knows one value only."""
    source = work.source
    if given := source.get(HASHING):
        same_as_ours = given.value == "sha512"
        yield Dropped(
            given.said, "so it is" if same_as_ours else "new images of Glint get sha512; older ones keep theirs"
        )
    if given := source.get(V2_API):
        yield Dropped(given.said, "Glint's API is version 2")
    if (given := source.get(URL_KEY)) and given.value:
        yield Failing(given.said, "Glint cannot read the encrypted URLs of locations in the database")
    elif given:
        yield Dropped(given.said, "URLs of locations are not encrypted")
    if (given := source.get(BY_PROJECT)) and not given.value:
        yield Failing(given.said, "images of Glint belong to projects, and the database says users")
    elif given:
        yield Dropped(given.said, "so it is: images belong to projects")


def _ports(items: list[str]) -> list[int]:
    try:
        return [int(item) for item in items]
    except ValueError:
        raise BadValue("expected ports such as [80, 443]; left out") from None


def _positive(value: Any) -> Any:
    if value < 1:
        raise BadValue("expected a number of 1 or more; left out")
    return value


def _default(name: str, kind: Any = TEXT, default: str | None = None) -> Option:
    return Option(DEFAULT, name, kind, default=default)


def _format(name: str) -> Option:
    return Option("image_format", name, ITEMS, older=((DEFAULT, name),))


_FILTERS = tuple(
    same(
        Option("import_filtering_opts", name, ITEMS),
        f"api.import_filter.{name}",
        _ports if name.endswith("ports") else list,
    )
    for what in ("schemes", "hosts", "ports")
    for name in (f"allowed_{what}", f"disallowed_{what}")
)
_CORS = tuple(
    same(Option("cors", name, kind), f"cors.{name}")
    for name, kind in (
        *(("allowed_origin", ITEMS), ("allow_credentials", BOOLEAN), ("max_age", INTEGER)),
        *(("allow_methods", ITEMS), ("allow_headers", ITEMS), ("expose_headers", ITEMS)),
    )
)
_COUNTS = tuple(
    same(_default(name, INTEGER, default), f"api.{name}")
    for name, default in (
        *(("image_member_quota", "128"), ("image_property_quota", "128"), ("image_tag_quota", "128")),
        *(("image_location_quota", "10"), ("max_request_id_length", "64")),
    )
)

ROWS = (
    Row((CACHE_DIR, CACHE_MAX), _cache),
    *_COUNTS,
    same(_default("limit_param_default", INTEGER, "25"), "api.limit_param_default", _positive),
    same(_default("api_limit_max", INTEGER, "1000"), "api.api_limit_max", _positive),
    same(
        _default("image_size_cap", INTEGER, "1099511627776"),
        "api.image_size_cap",
        lambda number: size_text(_positive(number)),
    ),
    same(_default("user_storage_quota", default="0"), "api.user_storage_quota"),
    same(_default("show_image_direct_url", BOOLEAN, "false"), "api.show_image_direct_url"),
    same(_default("show_multiple_locations", BOOLEAN, "false"), "api.show_multiple_locations"),
    same(_default("do_secure_hash", BOOLEAN, "true"), "api.do_secure_hash"),
    same(_default("http_retries", INTEGER, "3"), "api.http_retries", _positive),
    same(_default("allow_additional_image_properties", BOOLEAN, "true"), "api.allow_additional_image_properties"),
    same(_format("disk_formats"), "api.disk_formats"),
    same(_format("container_formats"), "api.container_formats"),
    same(Option("image_format", "vmdk_allowed_types", ITEMS), "api.vmdk_allowed_types"),
    same(Option("image_format", "gpt_safety_checks_nonfatal", ITEMS), "api.gpt_safety_checks_nonfatal"),
    same(
        Option("image_format", "require_image_format_match", BOOLEAN, default="true"), "api.require_image_format_match"
    ),
    Row((IMPORT_ENABLED, METHODS), _methods),
    Row((PLUGINS,), _plugins),
    *_FILTERS,
    same(
        Option("inject_metadata_properties", "ignore_user_roles", ITEMS, default="admin"),
        "api.inject_metadata.ignore_user_roles",
    ),
    same(Option("inject_metadata_properties", "inject", PAIRS), "api.inject_metadata.inject"),
    same(Option("image_conversion", "output_format", default="raw"), "api.conversion.output_format"),
    same(Option("glance_download_properties", "extra_properties", ITEMS), "api.glance_download_properties"),
    same(
        Option("task", "task_time_to_live", NUMBER, older=((DEFAULT, "task_time_to_live"),), default="48"),
        "api.task_time_to_live_h",
        _positive,
    ),
    same(Option("wsgi", "task_pool_threads", INTEGER, default="16"), "api.tasks_max", _positive),
    *_CORS,
    Row((POLICY, POLICY_DIRS, POLICY_DEFAULT), _policy),
    Row((PROTECTIONS,), _protections),
    same(_default("property_protection_rule_format", default="roles"), "api.property_protection_rule_format"),
    Row((), _schema),
    Row((HASHING, V2_API, URL_KEY, BY_PROJECT), _one_value),
    same(_default("delayed_delete", BOOLEAN, "false"), "deletion.delayed"),
    same(_default("scrub_time", NUMBER, "0"), "deletion.scrub_time_s"),
    same(_default("scrub_pool_size", INTEGER, "1"), "deletion.scrub_pool_size", _positive),
    same(_default("wakeup_time", NUMBER, "300"), "deletion.wakeup_time_s", _positive),
    *(same(Option("oslo_policy", name, BOOLEAN), f"api.{name}") for name in ("enforce_scope", "enforce_new_defaults")),
    gone("Glint asks no other server about policy rules", ("oslo_policy", "remote_*")),
    gone(
        "Glint's cache looks after itself: it needs no driver, no pruner and no cleaner",
        *((DEFAULT, name) for name in ("image_cache_driver", "image_cache_sqlite_db", "image_cache_stall_time")),
        *((DEFAULT, name) for name in ("cache_prefetcher_interval", "image_cache_invalid_entry_grace_period")),
    ),
    same(Option("barbican", "barbican_endpoint"), "key_manager.endpoint"),
    same(Option("barbican", "barbican_endpoint_type", default="public"), "key_manager.interface"),
    same(Option("barbican", "barbican_region_name"), "key_manager.region_name"),
    gone(
        "Glint asks no key manager but Barbican, with the user's token alone",
        (DEFAULT, "digest_algorithm"),
        ("key_manager", "*"),
        ("barbican", "*"),
        ("barbican_service_user", "*"),
        ("vault", "*"),
        ("signature_*", "*"),
    ),
    gone("Glint copies into one store after another", ("image_import_opts", "max_parallel_stores")),
    gone(
        "Glint runs tasks by itself, api.tasks_max at once, in api.staging_dir",
        *(("task", name) for name in ("task_executor", "work_dir", "eventlet_executor_pool_size", "conversion_format")),
        ("taskflow_executor", "*"),
        ("DEFAULT", "eventlet_executor_pool_size"),
    ),
    gone("Glint has one set of origins: those of [cors]", ("cors.*", "*")),
    gone(
        "`glint scrub` keeps no files of its own; its arguments are --daemon and --restore",
        *((DEFAULT, name) for name in ("scrubber_*", "cleanup_scrubber*", "daemon", "restore")),
    ),
    gone("Glance has given up these too", *((DEFAULT, f"enable_v{version}_*") for version in (1, 3))),
    gone("`glint registry metadefs load DIR` takes in definitions", (DEFAULT, "metadata_source_path")),
    gone("who is an admin says the policy rule context_is_admin", (DEFAULT, "admin_role"), (DEFAULT, "*_is_admin")),
)
