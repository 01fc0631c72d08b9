"""Files that the configuration names, and operators write: read whole, and not without end."""

from collections.abc import Sequence
from pathlib import Path

_MAX_BYTES = 1024 * 1024


class FileBroken(Exception):
    """It cannot be read or followed. `problems` says what is wrong, one line for each thing to mend."""

    what = "file"

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        super().__init__(f"{self.what} {path}: " + "; ".join(problems))
        self.path, self.problems = path, list(problems)


def read_operator_file(path: Path, broken: type[FileBroken]) -> bytes:
    """In the blocking way. Raises `broken`."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise broken(path, [f"cannot be read: {error.strerror}"]) from error
    if len(data) > _MAX_BYTES:
        raise broken(path, [f"is longer than {_MAX_BYTES} bytes"])
    return data
