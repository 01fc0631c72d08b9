"""Rows of what the process is: where it listens, how it logs, what stands before it. Pure."""

from collections.abc import Iterator
from typing import Any

from proxy.config_import.conf import DEFAULT
from proxy.config_import.options import BOOLEAN, INTEGER, MANY, BadValue, Option
from proxy.config_import.outcomes import Dropped, Failing, Mapped, Outcome
from proxy.config_import.rows import Import, Row, by_default, dropped, gone, same

WORKERS = Option(DEFAULT, "workers", INTEGER)
CA_FILE = Option(DEFAULT, "ca_file")
CERT_FILE = Option(DEFAULT, "cert_file")
KEY_FILE = Option(DEFAULT, "key_file")
PROXIED = Option("oslo_middleware", "enable_proxy_headers_parsing", BOOLEAN, default="false")
PROXY_HEADER = Option(DEFAULT, "secure_proxy_ssl_header")
CLIENT_TIMEOUT = Option(DEFAULT, "client_socket_timeout", INTEGER, default="900")
DEBUG = Option(DEFAULT, "debug", BOOLEAN, default="false")
DISABLE_FILE = Option("healthcheck", "disable_by_file_path")
HEALTH_BACKENDS = Option("healthcheck", "backends", MANY)
DRIVER = Option(
    "oslo_messaging_notifications",
    "driver",
    MANY,
    older=((DEFAULT, "notification_driver"), (DEFAULT, "notifier_driver"), (DEFAULT, "notifier_strategy")),
)


def _workers(work: Import) -> Iterator[Outcome]:
    given = work.source.get(WORKERS)
    if given is None:
        yield Mapped(("server", "workers"), 0, (), f"{by_default(WORKERS)}: one per core")
        return
    note = "without processes beside the first one" if given.value == 0 else None
    yield Mapped(("server", "workers"), max(1, given.value), given.said, note)


def _certificates(work: Import) -> Iterator[Outcome]:
    source = work.source
    for option, key in ((CERT_FILE, "certificate"), (KEY_FILE, "key")):
        if given := source.get(option):
            path = _path(work, given.value)
            yield Mapped(("server", "tls", key), path, given.said)
    if given := source.get(CA_FILE):
        yield Failing(given.said, "Glint asks clients for no certificate; let a proxy before it do that")


def _path(work: Import, name: str) -> str:
    found = work.beside.find(name)
    return str(found) if found else name


def _proxy_headers(work: Import) -> Iterator[Outcome]:
    key = ("server", "enable_proxy_headers_parsing")
    if given := work.source.get(PROXIED):
        yield Mapped(key, given.value, given.said)
    if header := work.source.get(PROXY_HEADER):
        yield Mapped(key, bool(header.value) or work.source.value(PROXIED), header.said, "X-Forwarded-*, and Forwarded")


def _client_timeout(work: Import) -> Iterator[Outcome]:
    given = work.source.get(CLIENT_TIMEOUT)
    if given and given.value > 0:
        yield Mapped(("server", "client_idle_s"), given.value, given.said)
    elif given:
        yield Dropped(given.said, "a client that takes and gives nothing is not waited for without an end")


def _log_level(work: Import) -> Iterator[Outcome]:
    if given := work.source.get(DEBUG):
        yield Mapped(("logging", "level"), "debug" if given.value else "info", given.said)


def _disable_file(work: Import) -> Iterator[Outcome]:
    """The paste file wins over [healthcheck], as its options are the application's own."""
    key = ("api", "healthcheck_disable_file")
    in_paste = work.paste.option("app:healthcheck", DISABLE_FILE.name) if work.paste else None
    if in_paste:
        yield Mapped(key, in_paste.text, (in_paste,))
    if given := work.source.get(DISABLE_FILE):
        if in_paste:
            yield Dropped(given.said, f"{in_paste.where} wins over it")
        else:
            yield Mapped(key, given.value, given.said)
    if given := work.source.get(HEALTH_BACKENDS):
        yield Dropped(given.said, "api.healthcheck_disable_file says by itself whether it is looked for")


def _notifications(work: Import) -> Iterator[Outcome]:
    given = work.source.get(DRIVER)
    if given is None:
        return
    if set(given.value) <= {"noop", "", "glance.openstack.common.notifier.no_op_notifier"}:
        yield Mapped(("notifications", "driver"), "noop", given.said)
    else:
        yield Dropped(given.said, "this version of Glint sends no notifications; who listens for them hears nothing")


def _port(value: Any) -> int:
    if not 0 <= value <= 65535:
        raise BadValue("expected a port from 0 to 65535; left out")
    return int(value)


ROWS = (
    same(Option(DEFAULT, "bind_host", default="0.0.0.0"), "server.host", carry=True),  # noqa: S104 - what Glance does
    same(Option(DEFAULT, "bind_port", INTEGER, default="9292"), "server.port", _port),
    Row((WORKERS,), _workers),
    Row((CERT_FILE, KEY_FILE, CA_FILE), _certificates),
    same(Option(DEFAULT, "public_endpoint"), "server.public_endpoint", lambda text: text or None),
    same(Option(DEFAULT, "worker_self_reference_url"), "server.worker_self_reference_url", lambda text: text or None),
    Row((PROXIED, PROXY_HEADER), _proxy_headers),
    Row((CLIENT_TIMEOUT,), _client_timeout),
    Row((DEBUG,), _log_level),
    same(
        Option(DEFAULT, "use_json", BOOLEAN, default="false"),
        "logging.format",
        lambda is_json: "json" if is_json else "console",
    ),
    same(Option("healthcheck", "detailed", BOOLEAN, default="false"), "api.healthcheck_detailed"),
    Row((DISABLE_FILE, HEALTH_BACKENDS), _disable_file),
    Row((DRIVER,), _notifications),
    dropped(
        "this version of Glint sends no notifications",
        Option(DEFAULT, "transport_url", older=((DEFAULT, "rpc_transport_url"),)),
        Option(DEFAULT, "control_exchange", older=((DEFAULT, "notification_exchange"),)),
        Option(DEFAULT, "default_publisher_id"),
        Option(DEFAULT, "disabled_notifications"),
        Option("oslo_messaging_notifications", "transport_url", older=((DEFAULT, "notification_transport_url"),)),
        Option("oslo_messaging_notifications", "topics", older=((DEFAULT, "notification_topics"),)),
        Option("oslo_messaging_notifications", "retry"),
    ),
    gone(
        "this version of Glint sends no notifications, and Glance calls nobody by messages besides",
        *((DEFAULT, name) for name in ("rpc_*", "*_thread_pool_size", "rabbit_*", "qpid_*", "zmq_*", "kombu_*")),
        *(
            (DEFAULT, name)
            for name in ("amqp_*", "conn_pool_*", "matchmaker_*", "fake_rabbit", "notification_*", "notifier_*")
        ),
        *((section, "*") for section in ("oslo_messaging_*", "matchmaker_*", "oslo_rpc*")),
    ),
    gone(
        "Glint logs to standard error, one line each; systemd or the container keeps it",
        *((DEFAULT, name) for name in ("log_*", "log-*", "logdir", "logfile", "use_syslog*", "use-syslog*", "syslog*")),
        *((DEFAULT, name) for name in ("use_journal", "use_eventlog", "use_stderr", "use-json", "watch_log_file")),
        *((DEFAULT, name) for name in ("watch-log-file", "max_logfile_*", "verbose", "use-journal", "use-eventlog")),
    ),
    gone(
        "Glint's logs have one form (logging.format) and one level (logging.level)",
        *((DEFAULT, name) for name in ("logging_*", "default_log_levels", "publish_errors", "instance_*", "rate_*")),
        *((DEFAULT, name) for name in ("fatal_deprecations", "syslog-log-facility")),
    ),
    gone("kept-alive connections and their queue are looked after by Glint itself", (DEFAULT, "backlog")),
    gone(
        "Glint sets its own limits for connections and heads",
        *((DEFAULT, name) for name in ("tcp_keepidle", "http_keepalive", "max_header_line", "eventlet_hub")),
        *(("wsgi", name) for name in ("python_interpreter", "tcp_keepidle", "max_header_line", "client_*")),
    ),
    gone("JSON bodies are limited by api.json_body_max, images by api.image_size_cap", ("oslo_middleware", "max_*")),
    gone("Glint has no such middleware, nor does Glance use it", ("oslo_middleware", "*"), ("ssl", "*")),
    gone("GET /healthcheck of Glint looks at one file only, and answers everybody", ("healthcheck", "*")),
    gone(
        "Glint is traced by its metrics and request ids",
        *((section, "*") for section in ("profiler*", "oslo_middleware_tracing", "oslo_reports")),
        *((DEFAULT, name) for name in ("pydev_worker_debug_*", "backdoor_*")),
    ),
    gone(
        "Glint's processes lock files of their own (cache.dir, api.staging_dir)",
        ("oslo_concurrency", "*"),
        *((DEFAULT, name) for name in ("lock_path", "disable_process_locking")),
    ),
    gone("variables of paths, used where they stand", *((DEFAULT, name) for name in ("state_path", "pybasedir"))),
)
