"""Declares what predictions need from outside: a store, renderers, input files, a sender of webhooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sandbox.core.models.domain.model import RendererKind
from sandbox.core.predictions.domain.charges import Charge
from sandbox.core.predictions.domain.prediction import Prediction

JSON = dict[str, Any]
Progress = Callable[[float, str], None]


class RenderError(Exception):
    """The input cannot be rendered; the text, which says why, stands in `prediction.error`."""


@dataclass(frozen=True)
class RenderJob:
    """One run. `input`: with defaults; `pictures`: fetched files by input name; `folder`: to write to."""

    prediction_id: str
    model: str
    kind: RendererKind
    input: JSON
    pictures: dict[str, Path]
    folder: Path


@dataclass(frozen=True)
class RenderedFile:
    path: Path
    name: str
    content_type: str


@dataclass(frozen=True)
class Rendered:
    files: tuple[RenderedFile, ...]
    metrics: JSON = field(default_factory=dict)
    notes: str = ""


class Renderer(Protocol):
    async def render(self, job: RenderJob, progress: Progress) -> Rendered:
        """Make the output. Being cancelled stops the work.

        Raises:
            RenderError: the input cannot be rendered.
        """
        ...


class InputFiles(Protocol):
    async def fetch(self, address: str, folder: Path) -> Path:
        """Store the file of an address or a data URI in the folder.

        Raises:
            RenderError: it cannot be fetched, or is too large.
        """
        ...


@dataclass(frozen=True)
class OutputFile:
    """A stored output. `token`: of its address. `swapped`: a fault has replaced it by another file."""

    token: str
    prediction_id: str
    model: str
    name: str
    path: Path
    content_type: str
    size: int
    etag: str
    expires_at: datetime
    swapped: bool = False


@dataclass(frozen=True)
class WebhookMessage:
    """A message to `url`. `attempts`: how often it has been sent."""

    id: str
    prediction_id: str
    url: str
    body: bytes
    attempts: int = 0


@dataclass(frozen=True)
class Upload:
    """A file that a client has sent to the Files API."""

    id: str
    name: str
    content_type: str
    size: int
    md5: str
    sha256: str
    metadata: JSON
    created_at: datetime
    expires_at: datetime
    path: Path


class Store(Protocol):
    """The state that survives `kill -9`. Every method is one transaction."""

    def create(self, prediction: Prediction, charge: Charge) -> None:
        """Store a new prediction and its charge, or neither."""
        ...

    def save(
        self, prediction: Prediction, files: Sequence[OutputFile] = (), message: WebhookMessage | None = None
    ) -> None:
        """Store a new state, with its files and its terminal webhook. An aborted prediction costs 0."""
        ...

    def get(self, prediction_id: str) -> Prediction | None: ...

    def page(
        self,
        *,
        limit: int,
        before: str | None,
        created_after: datetime | None,
        created_before: datetime | None,
    ) -> list[Prediction]:
        """Newest first; `before`: the id of the last prediction of the page before."""
        ...

    def unfinished(self) -> list[Prediction]:
        """Predictions that are not final, oldest first."""
        ...

    def expired_predictions(self, now: datetime) -> list[Prediction]:
        """At most 500 predictions whose expiry has passed and whose data is still stored."""
        ...

    def charges(self) -> list[Charge]:
        """Oldest first."""
        ...

    def file(self, token: str) -> OutputFile | None: ...

    def mark_swapped(self, token: str) -> None: ...

    def delete_files(self, prediction_id: str) -> None:
        """Delete the bytes of its files. Their rows stay: an address can then be told to have expired."""
        ...

    def messages(self) -> list[WebhookMessage]:
        """Terminal webhooks that are neither accepted nor given up."""
        ...

    def save_message_attempts(self, message: WebhookMessage) -> None: ...

    def delete_message(self, message_id: str) -> None: ...

    def save_upload(self, upload: Upload) -> None:
        """Store the record; the bytes are at `path` already."""
        ...

    def upload(self, upload_id: str) -> Upload | None: ...

    def uploads(self) -> list[Upload]:
        """Newest first."""
        ...

    def expired_uploads(self, now: datetime) -> list[Upload]:
        """At most 500 uploads whose expiry has passed."""
        ...

    def delete_upload(self, upload_id: str) -> bool:
        """Delete record and bytes. False: there was none."""
        ...

    def setting(self, name: str) -> Any:
        """A small JSON value; None: it was never saved."""
        ...

    def save_setting(self, name: str, value: Any) -> None: ...


class WebhookSender(Protocol):
    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        """The HTTP status of the answer; 0: there was none. Redirects are not followed."""
        ...
