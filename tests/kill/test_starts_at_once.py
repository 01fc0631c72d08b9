"""Several workers start on one new folder: one makes it, all have it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cache.disk import Folder
from cache.index import Index
from cache.layout import FORMAT

WORKERS = 8


def test_workers_that_start_at_once_on_a_new_folder_all_have_it(tmp_path: Path) -> None:
    """Each has its own locks, so threads do as well as processes."""
    for turn in range(20):
        together = threading.Barrier(WORKERS)
        root = tmp_path / str(turn)

        def begin(root: Path = root, together: threading.Barrier = together) -> None:
            together.wait()
            folder = Folder(root)
            folder.prepare()
            Index(folder.index_path).close()

        with ThreadPoolExecutor(WORKERS) as workers:
            for started in [workers.submit(begin) for _ in range(WORKERS)]:
                started.result()
        assert (root / "VERSION").read_text() == FORMAT
        assert not list(root.glob("VERSION.*"))
