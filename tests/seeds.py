"""What is left to chance in a test: another thing each time, and the same again when it failed."""

import os
import secrets


def seed_of_this_run() -> int:
    """A seed that a failure shows. GLINT_TEST_SEED repeats a run, as far as its threads and processes allow."""
    seed = int(os.environ.get("GLINT_TEST_SEED") or secrets.randbits(32))
    print(f"GLINT_TEST_SEED={seed}")
    return seed
