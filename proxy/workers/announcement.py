"""What an operator reads when Glint has started, with one process or several."""

import structlog

from metrics import VERSION
from proxy.config import Config
from proxy.fronts import Front

log = structlog.get_logger(__name__)


def announce(front: Front, config: Config, host: str, port: int, workers: int = 1) -> None:
    front.warn(config)
    scheme = "https" if front.listening(config).tls.certificate else "http"
    log.info(
        "server.listening",
        version=VERSION,
        url=f"{scheme}://{host}:{port}",
        metrics_port=front.metrics(config).port,
        workers=workers,
    )
