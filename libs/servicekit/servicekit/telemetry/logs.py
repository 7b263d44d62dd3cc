"""Sets logging up: one JSON object a line, with trace id and service, and without secrets."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO
from urllib.parse import urlsplit

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from servicekit.shared_settings import LogStyle, ProcessSettings
from servicekit.signing import TOKEN
from servicekit.telemetry import traces

MASK = "***"

_SECRET_KEY = re.compile(
    r"(^|[_-])(token|secret|password|authorization|cookie|credentials?|signature|api[_-]?key|(secret|private|access)_key)$",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s\"'<>\\]+")
_SECRET_TEXT = re.compile(rf"(?<=Bearer )[^\s\"']+|\br8_[A-Za-z0-9]{{8,}}|\b{TOKEN.pattern}")
_SHORTENED = ("http", "https", "s3", "ws", "wss")
# They log every request at INFO, which our own access lines do already.
_QUIET = ("httpx", "httpcore", "uvicorn.access", "urllib3", "asyncio", "aiosqlite")


def configure(service: str, settings: ProcessSettings, *, stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging alike; call once, at start."""
    out = stream or sys.stdout
    style = settings.log_style
    if style is LogStyle.BY_TERMINAL:
        style = LogStyle.TEXT if out.isatty() else LogStyle.JSON
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _Origin(service),
        mask,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if style is LogStyle.JSON
        else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class _Origin:
    """A processor that adds service and trace id."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("service", self._service)
        if current := traces.trace_id():
            event.setdefault("trace_id", current)
        return event


def mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor that hides the values of secret-looking keys and shortens every address in a text."""
    return {key: _masked(key, value) for key, value in event.items()}


def shorten_address(address: str) -> str:
    """An address that is safe to show: `https://host/first/…`, without user, password, query and the rest.

    Addresses of other schemes than the web's and S3's keep their path: it names a database or a file.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return address.partition("://")[0] + "://…"
    if ":" in host:
        host = f"[{host}]"
    where = f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
    if parts.scheme not in _SHORTENED:
        return where + parts.path
    first, _, rest = parts.path.removeprefix("/").partition("/")
    short = f"{where}/{first}" if first else where
    return f"{short}/…" if rest or parts.query or parts.fragment else short


def _masked(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {inner: _masked(str(inner), item) for inner, item in value.items()}
    if _SECRET_KEY.search(key) and value:
        return MASK
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list | tuple):
        return [_masked("", item) for item in value]
    if isinstance(value, BaseException):
        return clean_text(f"{type(value).__name__}: {value}")
    return value


def clean_text(text: str) -> str:
    """The text with its addresses shortened and its tokens masked."""
    if "://" in text:
        text = _ADDRESS.sub(lambda found: shorten_address(found[0]), text)
    return _SECRET_TEXT.sub(MASK, text)
