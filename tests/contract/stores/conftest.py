"""The same contract by another login takes as long again: it is one of the long forms."""

import pytest

AGAIN = "[keystone swift"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if AGAIN in item.name:
            item.add_marker(pytest.mark.long)
