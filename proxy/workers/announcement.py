"""What an operator reads when Glint has started, with one process or several."""

import structlog

from proxy.config import Config

log = structlog.get_logger(__name__)


def announce(config: Config, host: str, port: int, workers: int = 1) -> None:
    if config.auth.kind == "none" and config.registry.kind != "glance":
        log.warning("auth.none", reason="everyone who reaches this address is admin; set auth.kind for production")
    scheme = "https" if config.server.tls.certificate else "http"
    log.info(
        "server.listening",
        url=f"{scheme}://{host}:{port}",
        metrics_port=config.metrics.port,
        workers=workers,
    )
