"""Which Glint it is: one that knows its images, or one before a Glance that does."""

from contextlib import AbstractAsyncContextManager

from proxy.app import build_app
from proxy.config import Config
from proxy.direct import DirectApp
from proxy.edge import EdgeServices, build_edge_app, open_edge
from proxy.services import Delivery, Services, open_services
from proxy.shared import Shared


def open_for(config: Config, shared: Shared | None = None) -> AbstractAsyncContextManager[Delivery]:
    """Enter and leave in the same task. Raises what a part cannot start for."""
    return open_edge(config, shared) if config.registry.kind == "glance" else open_services(config, shared)


def app_for(services: Delivery) -> DirectApp:
    """The application over what `open_for` opened."""
    if isinstance(services, EdgeServices):
        return build_edge_app(services)
    assert isinstance(services, Services)
    return build_app(services)
