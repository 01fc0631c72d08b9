"""The downloads that a log tells of: Glint's own, in JSON, or a table `key,size[,time]` made of another's."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from cache import Download
from proxy.commands.errors import CommandFailed

_EVENT = '"download.finished"'


class NotRead(CommandFailed):
    """A log that cannot be read, or says nothing of downloads."""


def read_downloads(paths: Sequence[Path]) -> list[Download]:
    """All downloads of these logs, in their order; `.gz` is unpacked. Raises NotRead.

    Where an image's size was not logged, it is what is known from elsewhere in the logs, at least what was sent of it.
    """
    found: list[Download] = []
    for path in paths:
        try:
            with _opened(path) as file:
                found += _downloads(file)
        except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
            raise NotRead(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not found:
        raise NotRead(
            f"{', '.join(map(str, paths))}: no download in there; expected a log of Glint with logging.format json,"
            " or lines such as: key,size,time"
        )
    return list(_completed(found))


def _opened(path: Path) -> TextIO:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _downloads(lines: Iterable[str]) -> Iterator[Download]:
    """Lines of another kind are left out: a log has many, and a table may have a head."""
    for line in lines:
        before, brace, event = line.partition("{")  # a journal may have put time and host before it
        if brace:
            found = _of_event(brace + event) if _EVENT in event else None
        else:
            found = _of_row(next(csv.reader([before]), []))
        if found is not None:
            yield found


def _of_event(line: str) -> Download | None:
    try:
        event: dict[str, Any] = json.loads(line)
        ended_at_s = datetime.fromisoformat(event["timestamp"]).timestamp()
        return Download(
            key=str(event["key"]),
            size_bytes=int(event.get("size_bytes") or 0),
            sent_bytes=int(event["sent_bytes"]),
            began_at_s=ended_at_s - float(event.get("duration_s", 0)),
            ended_at_s=ended_at_s,
        )
    except (ValueError, TypeError, KeyError):  # cut off at the end of a file, or of another program
        return None


def _of_row(row: Sequence[str]) -> Download | None:
    if len(row) not in {2, 3}:
        return None
    try:
        size_bytes = int(row[1])
        at_s = _time(row[2].strip()) if len(row) == 3 else None
    except ValueError:
        return None
    return Download(key=row[0].strip(), size_bytes=size_bytes, sent_bytes=size_bytes, began_at_s=at_s, ended_at_s=at_s)


def _time(text: str) -> float:
    """Seconds since 1970, or a date of ISO 8601, which is UTC unless it says otherwise."""
    try:
        return float(text)
    except ValueError:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _completed(downloads: Sequence[Download]) -> Iterator[Download]:
    sizes: dict[str, int] = {}
    for one in downloads:
        sizes[one.key] = max(sizes.get(one.key, 0), one.size_bytes, one.sent_bytes)
    for one in downloads:
        size_bytes = sizes[one.key]
        if size_bytes:
            yield Download(
                key=one.key,
                size_bytes=size_bytes,
                sent_bytes=one.sent_bytes,
                began_at_s=one.began_at_s,
                ended_at_s=one.ended_at_s,
            )
