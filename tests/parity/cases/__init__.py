"""The table of parity cases."""

from tests.parity.cases.table import GROUPS

__all__ = ["GROUPS"]
