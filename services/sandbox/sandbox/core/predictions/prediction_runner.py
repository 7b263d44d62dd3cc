"""The life of predictions: accepted and charged, booted, rendered, ended, and told."""

from __future__ import annotations

import asyncio
import base64
import logging
import mimetypes
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.core.clock import SandboxClock
from sandbox.core.faults import KINDS, FaultBook
from sandbox.core.models.domain.input_validation import defaults
from sandbox.core.models.domain.model import Catalogue, Model
from sandbox.core.predictions.domain import prediction as pred
from sandbox.core.predictions.domain.charges import Charge, input_hash
from sandbox.core.predictions.domain.prediction import Prediction, Status
from sandbox.core.predictions.ports import (
    Inputs,
    OutputFile,
    Rendered,
    Renderer,
    RenderError,
    RenderJob,
    Store,
)
from sandbox.core.predictions.webhooks import Webhooks

JSON = dict[str, Any]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How fast models work, how long outputs live, and where they lie."""

    speed: float
    ttl: timedelta
    folder: Path


class Life:
    """Runs every prediction from its create to its final state; a part that starts and stops."""

    def __init__(
        self,
        *,
        store: Store,
        catalogue: Catalogue,
        clock: SandboxClock,
        renderer: Renderer,
        inputs: Inputs,
        webhooks: Webhooks,
        faults: FaultBook,
        pace: Pace,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._clock = clock
        self._renderer = renderer
        self._inputs = inputs
        self._webhooks = webhooks
        self._faults = faults
        self._pace = pace
        self._live: dict[str, Prediction] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._limits: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}
        self._started = False

    async def start(self) -> None:
        """Start again what a former process had not finished."""
        if self._started:
            return
        self._started = True
        for prediction in self._store.active():
            self._launch(prediction)
        self._webhooks.resume()

    async def stop(self) -> None:
        """End all work; unfinished predictions start again after the next start."""
        tasks = [*self._tasks.values(), *self._limits.values()]
        self._started = False
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._webhooks.stop()

    def create(
        self,
        model: Model,
        value: JSON,
        *,
        base: str,
        webhook: str | None = None,
        events: tuple[str, ...] = (),
        cancel_after: int | None = None,
        fault: str | None = None,
    ) -> Prediction:
        """Accept a prediction and charge for it; both are stored before this returns.

        `fault`: how it will fail by itself; without one the rules in force say.
        """
        now = self._clock.now()
        rule = None if fault else self._faults.take("prediction", route="create", model=model.full_name)
        prediction = Prediction(
            id=pred.new_prediction_id(),
            model=model.full_name,
            version=model.version,
            input=value,
            created_at=now,
            base=base,
            deadline=None if cancel_after is None else now + timedelta(seconds=cancel_after),
            webhook=webhook,
            events=events,
            fault={"fault": rule.fault, **rule.params} if rule else {"fault": fault} if fault else None,
        )
        self._store.create(prediction, self._charge(prediction, model))
        self._launch(prediction)
        return prediction

    def get(self, prediction_id: str) -> Prediction | None:
        """The prediction as it stands now."""
        return self._live.get(prediction_id) or self._store.get(prediction_id)

    def current(self, prediction: Prediction) -> Prediction:
        """A stored prediction with the logs and state of the run under way."""
        return self._live.get(prediction.id, prediction)

    def cancel(self, prediction_id: str, *, by_deadline: bool = False) -> Prediction | None:
        """Stop a prediction; one that has ended stays as it is."""
        prediction = self.get(prediction_id)
        if prediction is None or prediction.done:
            return prediction
        task = self._tasks.get(prediction_id)
        ended = pred.canceled(prediction, self._clock.now(), ttl=self._pace.ttl, by_deadline=by_deadline)
        self._finish(ended)
        if task is not None:
            task.cancel()
        return ended

    async def wait(self, prediction_id: str, seconds: float) -> Prediction:
        """The prediction when it has ended, or as it stands after that many seconds."""
        end = self._ends.get(prediction_id)
        if end is not None:
            done = asyncio.ensure_future(end.wait())
            limit = asyncio.ensure_future(self._clock.sleep(seconds))
            try:
                await asyncio.wait({done, limit}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                done.cancel()
                limit.cancel()
        found = self.get(prediction_id)
        if found is None:
            raise KeyError(prediction_id)
        return found

    def _charge(self, prediction: Prediction, model: Model) -> Charge:
        value = {**defaults(model.openapi), **prediction.input}
        seconds = float(value.get("duration", 5)) if model.price.second else 0.0
        amount = model.price.amount(seconds=seconds, files=int(value.get("num_outputs", 1)))
        return Charge(
            prediction.id,
            model.full_name,
            prediction.created_at,
            amount,
            prediction.webhook,
            input_hash(prediction.input),
        )

    def _launch(self, prediction: Prediction) -> None:
        loop = asyncio.get_running_loop()
        self._live[prediction.id] = prediction
        self._ends[prediction.id] = asyncio.Event()
        self._tasks[prediction.id] = loop.create_task(self._run(prediction))
        if prediction.deadline is not None:
            self._limits[prediction.id] = loop.create_task(self._limit(prediction, prediction.deadline))

    async def _limit(self, prediction: Prediction, deadline: datetime) -> None:
        await self._clock.sleep((deadline - self._clock.now()).total_seconds())
        self._limits.pop(prediction.id, None)
        self.cancel(prediction.id, by_deadline=True)

    async def _run(self, prediction: Prediction) -> None:
        model = self._catalogue.models[prediction.model]
        fault = prediction.fault or {}
        name = fault.get("fault", "")
        boot = prediction.created_at + timedelta(seconds=model.boot_s / self._pace.speed)
        if boot > self._clock.now():
            await self._clock.sleep((boot - self._clock.now()).total_seconds())
        if await self._struck_early(prediction, name):
            return
        self._live[prediction.id] = prediction = pred.started(prediction, self._clock.now())
        self._webhooks.notify(prediction, "start")
        shortest = asyncio.ensure_future(self._clock.sleep(model.run_s / self._pace.speed))
        try:
            if name in KINDS and KINDS[name].error:
                await shortest
                self._fail(prediction, KINDS[name].error)
                return
            if name == "stuck_processing":
                await asyncio.Event().wait()
            rendered = await self._render(prediction, model)
            await shortest
            self._succeed(self._live[prediction.id], model, rendered, name)
        except RenderError as refused:
            await shortest
            self._fail(self._live[prediction.id], f"{refused} (E006)")
        except Exception:  # noqa: BLE001 - a renderer's fault must end this prediction, not leave it open
            _log.exception("rendering failed", extra={"prediction": prediction.id, "model": prediction.model})
            self._fail(self._live[prediction.id], "Prediction failed for an unknown reason (E1000)")
        finally:
            shortest.cancel()

    async def _struck_early(self, prediction: Prediction, name: str) -> bool:
        if name == "stuck_starting":
            await asyncio.Event().wait()
        if name == "aborted":
            self._finish(pred.canceled(prediction, self._clock.now(), ttl=self._pace.ttl, by_deadline=True))
            return True
        if name in ("E6716", "E8765", "E9828"):
            self._fail(prediction, KINDS[name].error)
            return True
        return False

    async def _render(self, prediction: Prediction, model: Model) -> Rendered:
        folder = self._pace.folder / prediction.id
        value = {**defaults(model.openapi), **prediction.input}
        pictures: dict[str, Path] = {}
        if model.kind == "video":
            for name, address in value.items():
                if isinstance(address, str) and address.startswith(("http://", "https://", "data:")):
                    pictures[name] = await self._inputs.fetch(address, folder)
        job = RenderJob(prediction.id, model.full_name, model.kind, value, pictures, folder)
        loop = asyncio.get_running_loop()

        def progress(fraction: float, line: str) -> None:
            loop.call_soon_threadsafe(self._log, prediction.id, _progress_line(fraction, line))

        return await self._renderer.render(job, progress)

    def _log(self, prediction_id: str, line: str) -> None:
        prediction = self._live.get(prediction_id)
        if prediction is None:
            return
        self._live[prediction_id] = prediction = replace(
            prediction, logs=f"{prediction.logs}{line.strip()}\n"
        )
        self._webhooks.notify(prediction, "logs")

    def _succeed(self, prediction: Prediction, model: Model, rendered: Rendered, fault: str) -> None:
        now = self._clock.now()
        ttl = timedelta(0) if fault == "data_removed" else self._pace.ttl
        files: list[OutputFile] = []
        names: list[str] = []
        for made in rendered.files:
            if fault == "output_inline":
                names.append(_data_uri(made.path, made.content_type))
                continue
            token = secrets.token_urlsafe(24)
            size = made.path.stat().st_size
            files.append(
                OutputFile(
                    token, prediction.id, prediction.model, made.name, made.path, made.content_type, size,
                    f'"{secrets.token_hex(16)}"', now + ttl,
                )
            )  # fmt: skip
            names.append(f"files/{token}/{made.name}")
        output: Any = names if model.form == "list" else names[0]
        if model.form == "object":
            output = {"video": names[0], "notes": rendered.notes}
        self._webhooks.notify(replace(prediction, output=output), "output")
        ended = pred.ended(
            prediction, Status.SUCCEEDED, now, output=output, metrics=rendered.metrics, ttl=ttl
        )
        self._finish(ended, files)

    def _fail(self, prediction: Prediction, error: str) -> None:
        self._finish(
            pred.ended(prediction, Status.FAILED, self._clock.now(), error=error, ttl=self._pace.ttl)
        )

    def _finish(self, prediction: Prediction, files: list[OutputFile] | None = None) -> None:
        message = self._webhooks.terminal_message(prediction)
        self._store.save(prediction, files or (), message)
        self._live.pop(prediction.id, None)
        self._tasks.pop(prediction.id, None)
        limit = self._limits.pop(prediction.id, None)
        if limit is not None:
            limit.cancel()
        self._webhooks.finish(prediction, message)
        end = self._ends.pop(prediction.id, None)
        if end is not None:
            end.set()


def _progress_line(fraction: float, line: str) -> str:
    """A line as tqdm writes it, which official clients parse: `42%|████░░░░░░| 42/100 frames`."""
    full = round(fraction * 10)
    return f"{fraction:.0%}|{'█' * full}{'░' * (10 - full)}| {line.strip()}"


def _data_uri(path: Path, content_type: str) -> str:
    kind = content_type or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
