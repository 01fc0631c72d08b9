"""Structured logs: an event name, then fields with units. One line each, to standard error."""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import IO, Any, BinaryIO, TextIO, cast

import orjson
import structlog
from aiohttp.http_exceptions import HttpProcessingError

from proxy.config import LoggingConfig

Fields = Mapping[str, str | None]

_told: ContextVar[Fields] = ContextVar("told", default=MappingProxyType({}))


def log_with(fields: Fields) -> None:
    """Each event of this task from now on, and of the tasks that it starts, has these fields and no earlier ones.

    What structlog has for this walks all variables of the task for each event.
    """
    _told.set(fields)


def _with_fields(_logger: object, _level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {**_told.get(), **event}


class _Lines:
    """Where lines go. No request ends for the sake of its line: one that a full disk or a closed pipe does not take is
    lost and counted, and the next one that can be written tells how many there were.
    """

    def __init__(self, stream: IO[Any]) -> None:
        self._stream, self._is_broken, self.lost = stream, False, 0

    def write(self, line: str | bytes) -> None:
        try:
            self._stream.write(line)
        except (OSError, ValueError):  # ValueError: it was closed
            self._is_broken = True

    def flush(self) -> None:
        """The end of a line, for both of structlog's loggers."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._is_broken = True
        self.lost, self._is_broken = (self.lost + 1, False) if self._is_broken else (0, False)

    def tell_lost(self, _logger: object, _level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """A processor."""
        return {**event, "lines_lost": self.lost} if self.lost else event


def configure_logging(config: LoggingConfig) -> None:
    """For the whole process. What libraries log by `logging` comes out in the same form, from warnings up.

    Tracebacks come without the values of local variables, among which are tokens and passwords.
    """
    lines = _Lines(sys.stderr.buffer if config.format == "json" else sys.stderr)
    shared: list[structlog.typing.Processor] = [
        _with_fields,
        lines.tell_lost,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor]
    factory: Callable[..., structlog.typing.WrappedLogger]
    if config.format == "json":
        last = [
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(_dumped),
        ]
        factory = structlog.BytesLoggerFactory(cast("BinaryIO", lines))
    else:
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
        factory = structlog.PrintLoggerFactory(cast("TextIO", lines))
    level = logging.getLevelNamesMapping()[config.level.upper()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, _as_text],
    )
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("aiohttp.server").addFilter(_plain_about_clients)


def _dumped(event: Any, *, default: Callable[[Any], Any]) -> bytes:
    try:
        return orjson.dumps(event, default=default)
    except TypeError:  # a number of more than 64 bits, half a surrogate pair
        return json.dumps(event, default=default).encode()


def _as_text(_logger: object, _level: str, line: Any) -> str:
    """What libraries log goes through `logging`, which takes text alone."""
    return line.decode() if isinstance(line, bytes) else str(line)


def _plain_about_clients(record: logging.LogRecord) -> bool:
    """What a client did wrong is one line. aiohttp would tell it with a traceback and the header, perhaps a token."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError | ConnectionError):
        record.msg, record.args, record.exc_info = f"request.unreadable: {type(error).__name__}", (), None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True
