"""Runs predictions: accepts and charges them, renders them, and reports how they have ended."""

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
from sandbox.core.faults import FAULTS, FaultRules
from sandbox.core.models.domain.input_validation import defaults
from sandbox.core.models.domain.model import Model, ModelCatalog
from sandbox.core.predictions.domain import prediction as pred
from sandbox.core.predictions.domain.charges import Charge, input_hash
from sandbox.core.predictions.domain.prediction import Prediction, Status
from sandbox.core.predictions.ports import (
    InputFiles,
    OutputFile,
    Rendered,
    Renderer,
    RenderError,
    RenderJob,
    Store,
)
from sandbox.core.predictions.webhooks import Webhooks
from servicekit.concurrency import end, first_of

JSON = dict[str, Any]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunnerSettings:
    """`speed`: of the models; `ttl`: life of outputs; `folder`: where outputs are stored."""

    speed: float
    ttl: timedelta
    folder: Path


class PredictionRunner:
    """Runs each prediction from its create to its final state."""

    def __init__(
        self,
        *,
        store: Store,
        catalog: ModelCatalog,
        clock: SandboxClock,
        renderer: Renderer,
        inputs: InputFiles,
        webhooks: Webhooks,
        faults: FaultRules,
        settings: RunnerSettings,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._renderer = renderer
        self._inputs = inputs
        self._webhooks = webhooks
        self._faults = faults
        self._settings = settings
        self._running: dict[str, Prediction] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._deadlines: dict[str, asyncio.Task[None]] = {}
        self._final: dict[str, asyncio.Event] = {}
        self._started = False

    async def start(self) -> None:
        """Start again what an earlier process has not finished."""
        if self._started:
            return
        self._started = True
        for prediction in self._store.unfinished():
            self._launch(prediction)
        self._webhooks.resume()

    async def stop(self) -> None:
        """Stop all work. Unfinished predictions begin anew after the next start."""
        tasks = [*self._tasks.values(), *self._deadlines.values()]
        self._started = False
        await end(*tasks)
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
        """Accept a prediction and charge for it. Both are stored before this returns.

        `fault`: how it will fail; without it the fault rules decide.
        """
        now = self._clock.now()
        rule = None if fault else self._faults.take("prediction", route="create", model=model.full_name)
        prediction = Prediction(
            id=_new_prediction_id(),
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
        return self._running.get(prediction_id) or self._store.get(prediction_id)

    def current(self, prediction: Prediction) -> Prediction:
        """The prediction with the logs and the state of its run, which the store has at its end only."""
        return self._running.get(prediction.id, prediction)

    def cancel(self, prediction_id: str, *, by_deadline: bool = False) -> Prediction | None:
        """Stop a prediction. One that is final stays as it is."""
        prediction = self.get(prediction_id)
        if prediction is None or prediction.is_final:
            return prediction
        task = self._tasks.get(prediction_id)
        ended = pred.canceled(prediction, self._clock.now(), ttl=self._settings.ttl, by_deadline=by_deadline)
        self._finish(ended)
        if task is not None:
            task.cancel()
        return ended

    async def wait(self, prediction_id: str, seconds: float) -> Prediction:
        """The prediction once it is final, or as it is after so many seconds."""
        final = self._final.get(prediction_id)
        if final is not None:
            await first_of(final.wait(), self._clock.sleep(seconds))
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
        self._running[prediction.id] = prediction
        self._final[prediction.id] = asyncio.Event()
        self._tasks[prediction.id] = loop.create_task(self._run(prediction))
        if prediction.deadline is not None:
            self._deadlines[prediction.id] = loop.create_task(
                self._cancel_at(prediction.deadline, prediction.id)
            )

    async def _cancel_at(self, deadline: datetime, prediction_id: str) -> None:
        await self._clock.sleep((deadline - self._clock.now()).total_seconds())
        self._deadlines.pop(prediction_id, None)
        self.cancel(prediction_id, by_deadline=True)

    async def _run(self, prediction: Prediction) -> None:
        model = self._catalog.models[prediction.model]
        fault = prediction.fault or {}
        name = fault.get("fault", "")
        boot = prediction.created_at + timedelta(seconds=model.boot_s / self._settings.speed)
        if boot > self._clock.now():
            await self._clock.sleep((boot - self._clock.now()).total_seconds())
        if await self._ends_before_start(prediction, name):
            return
        self._running[prediction.id] = prediction = pred.started(prediction, self._clock.now())
        self._webhooks.notify(prediction, "start")
        shortest = asyncio.ensure_future(self._clock.sleep(model.run_s / self._settings.speed))
        try:
            if name in FAULTS and FAULTS[name].error:
                await shortest
                self._fail(prediction, FAULTS[name].error)
                return
            if name == "stuck_processing":
                await asyncio.Event().wait()
            rendered = await self._render(prediction, model)
            await shortest
            self._succeed(self._running[prediction.id], model, rendered, name)
        except RenderError as refused:
            await shortest
            self._fail(self._running[prediction.id], f"{refused} (E006)")
        except Exception:  # noqa: BLE001 - a defect of a renderer must end the prediction
            _log.exception("rendering failed", extra={"prediction": prediction.id, "model": prediction.model})
            self._fail(self._running[prediction.id], "Prediction failed for an unknown reason (E1000)")
        finally:
            shortest.cancel()

    async def _ends_before_start(self, prediction: Prediction, name: str) -> bool:
        if name == "stuck_starting":
            await asyncio.Event().wait()
        if name == "aborted":
            self._finish(
                pred.canceled(prediction, self._clock.now(), ttl=self._settings.ttl, by_deadline=True)
            )
            return True
        if name in ("E6716", "E8765", "E9828"):
            self._fail(prediction, FAULTS[name].error)
            return True
        return False

    async def _render(self, prediction: Prediction, model: Model) -> Rendered:
        folder = self._settings.folder / prediction.id
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
        prediction = self._running.get(prediction_id)
        if prediction is None:
            return
        self._running[prediction_id] = prediction = replace(
            prediction, logs=f"{prediction.logs}{line.strip()}\n"
        )
        self._webhooks.notify(prediction, "logs")

    def _succeed(self, prediction: Prediction, model: Model, rendered: Rendered, fault: str) -> None:
        now = self._clock.now()
        ttl = timedelta(0) if fault == "data_removed" else self._settings.ttl
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
            pred.ended(prediction, Status.FAILED, self._clock.now(), error=error, ttl=self._settings.ttl)
        )

    def _finish(self, prediction: Prediction, files: list[OutputFile] | None = None) -> None:
        message = self._webhooks.terminal_message(prediction)
        self._store.save(prediction, files or (), message)
        self._running.pop(prediction.id, None)
        self._tasks.pop(prediction.id, None)
        deadline = self._deadlines.pop(prediction.id, None)
        if deadline is not None:
            deadline.cancel()
        self._webhooks.finish(prediction, message)
        final = self._final.pop(prediction.id, None)
        if final is not None:
            final.set()


def _new_prediction_id() -> str:
    """26 characters of `a-z2-7`, as the real provider has them."""
    return base64.b32encode(secrets.token_bytes(17)).decode().lower()[:26]


def _progress_line(fraction: float, line: str) -> str:
    """As tqdm writes it, which official clients parse: `42%|████░░░░░░| 42/100 frames`."""
    full = round(fraction * 10)
    return f"{fraction:.0%}|{'█' * full}{'░' * (10 - full)}| {line.strip()}"


def _data_uri(path: Path, content_type: str) -> str:
    kind = content_type or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
