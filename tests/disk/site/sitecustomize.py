"""Python imports this first, in each process whose disk a test wants to fail."""

from tests.disk.obey import obey

obey()
