"""Without Ceph's bindings nothing is served from a Ceph, and the operator learns what to do."""

import sys

import pytest

from metrics import Instruments
from proxy.commands.config import check
from proxy.config import Config
from proxy.startup import STARTUP_ERRORS
from upstream.stores import open_stores
from upstream.stores.rbd import BindingsMissing

CONFIG = Config.model_validate({"stores": {"default": "ceph", "backends": {"ceph": {"kind": "rbd"}}}})
REMEDY = "install the Debian packages python3-rados and python3-rbd"


@pytest.fixture(autouse=True)
def _no_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rados", None)


async def test_a_start_fails_with_the_remedy() -> None:
    with pytest.raises(BindingsMissing, match=REMEDY):
        async with open_stores(CONFIG.stores, Instruments()):
            raise AssertionError("opened")
    assert issubclass(BindingsMissing, STARTUP_ERRORS)


def test_a_check_of_the_configuration_tells_it_once() -> None:
    (problem,) = [problem for problem in check(CONFIG) if "rbd" in problem]
    assert REMEDY in problem
