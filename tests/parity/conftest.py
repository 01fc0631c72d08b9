"""The Glints that are compared with the recorded Glance: one for each variant, started when its first case runs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.parity.keystone import tokens_from
from tests.parity.model import Variant
from tests.parity.origin import serve_origin
from tests.parity.session import Session
from tests.parity.variants import SETUPS, glint_for
from tests.peers.keystone import Keystone
from tests.peers.memcached import Memcached


@pytest.fixture(scope="module")
def session_of(
    tmp_path_factory: pytest.TempPathFactory, keystone: Keystone, memcached: Memcached
) -> Iterator[Callable[[Variant], Session]]:
    """Gives the session with the Glint of a variant."""
    with ExitStack() as stack:
        origin = stack.enter_context(serve_origin())
        token = tokens_from(keystone.url)

        @cache
        def opened(variant: Variant) -> Session:
            glint = glint_for(variant, tmp_path_factory.mktemp(f"parity-{variant}"), keystone, memcached)
            stack.enter_context(glint)
            session = Session(url=glint.url, origin=origin, token=token, new_image=SETUPS[variant].new_image)
            session.learn_projects()
            return session

        yield opened
