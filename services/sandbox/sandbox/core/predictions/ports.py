"""What the life of predictions needs from outside: a store, renderers, inputs and a way to post webhooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sandbox.core.models.domain.model import Kind
from sandbox.core.predictions.domain.charges import Charge
from sandbox.core.predictions.domain.prediction import Prediction

JSON = dict[str, Any]
Progress = Callable[[float, str], None]


class RenderError(Exception):
    """A renderer refused its input; the text ends up in `prediction.error`."""


@dataclass(frozen=True)
class RenderJob:
    """One run: the input with defaults filled in, its files already fetched, and a folder to write to."""

    prediction_id: str
    model: str
    kind: Kind
    input: JSON
    pictures: dict[str, Path]
    folder: Path


@dataclass(frozen=True)
class RenderedFile:
    """One finished file."""

    path: Path
    name: str
    content_type: str


@dataclass(frozen=True)
class Rendered:
    """What a run made; `seconds` is the length of video or sound, 0 for pictures."""

    files: tuple[RenderedFile, ...]
    seconds: float = 0.0
    metrics: JSON = field(default_factory=dict)
    notes: str = ""


class Renderer(Protocol):
    """Makes the output of a model."""

    async def render(self, job: RenderJob, progress: Progress) -> Rendered:
        """Run one job; being cancelled stops the work.

        Raises:
            RenderError: the input cannot be rendered.
        """
        ...


class Inputs(Protocol):
    """Brings the files that an input points at."""

    async def fetch(self, address: str, folder: Path) -> Path:
        """The file behind a data URI or an address, stored in the folder.

        Raises:
            RenderError: it cannot be had.
        """
        ...


@dataclass(frozen=True)
class OutputFile:
    """A stored output: the path after `/files/`, where its bytes lie, and its strong validator."""

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
class Message:
    """A terminal webhook on its way: kept until it was taken or given up."""

    id: str
    prediction_id: str
    url: str
    body: bytes
    attempts: int = 0


@dataclass(frozen=True)
class Upload:
    """A file sent to the Files API."""

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
    """Everything that survives `kill -9`; every method is one transaction."""

    def create(self, prediction: Prediction, charge: Charge) -> None:
        """A new prediction and its charge, or neither."""
        ...

    def save(
        self, prediction: Prediction, files: Sequence[OutputFile] = (), message: Message | None = None
    ) -> None:
        """A prediction's new state with its files and its terminal webhook. Aborted, it is not billed."""
        ...

    def get(self, prediction_id: str) -> Prediction | None:
        """The stored prediction."""
        ...

    def page(
        self,
        *,
        limit: int,
        before: str | None,
        created_after: datetime | None,
        created_before: datetime | None,
    ) -> list[Prediction]:
        """Newest first, beginning after the cursor `before` (a position of `position_of`)."""
        ...

    def active(self) -> list[Prediction]:
        """Predictions without a final state, oldest first."""
        ...

    def removable(self, now: datetime) -> list[Prediction]:
        """Predictions past their expiry whose data is still there."""
        ...

    def charges(self) -> list[Charge]:
        """Every charge, oldest first."""
        ...

    def file(self, token: str) -> OutputFile | None:
        """An output file by its token."""
        ...

    def swap(self, token: str) -> None:
        """Remember that this file has been replaced."""
        ...

    def drop_files(self, prediction_id: str) -> None:
        """Forget the files of a prediction and delete their bytes."""
        ...

    def messages(self) -> list[Message]:
        """Terminal webhooks not yet taken."""
        ...

    def keep_message(self, message: Message) -> None:
        """Store how many attempts it has had."""
        ...

    def drop_message(self, message_id: str) -> None:
        """It was taken, or given up."""
        ...

    def put_upload(self, upload: Upload) -> None:
        """Store an uploaded file's record; its bytes lie at `path` already."""
        ...

    def upload(self, upload_id: str) -> Upload | None:
        """An uploaded file."""
        ...

    def uploads(self) -> list[Upload]:
        """Uploaded files, newest first."""
        ...

    def stale_uploads(self, now: datetime) -> list[Upload]:
        """Uploaded files past their expiry."""
        ...

    def drop_upload(self, upload_id: str) -> bool:
        """Forget an uploaded file and its bytes; False when there was none."""
        ...

    def setting(self, name: str) -> Any:
        """A small JSON value, None when absent."""
        ...

    def put_setting(self, name: str, value: Any) -> None:
        """Store a small JSON value."""
        ...


class Sender(Protocol):
    """Posts a webhook."""

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        """The HTTP status of the answer; 0 when there was none. Redirects are not followed."""
        ...
