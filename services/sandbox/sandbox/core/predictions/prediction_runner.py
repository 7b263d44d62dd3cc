"""Runs predictions: accepts and charges them, renders them, and reports how they have ended."""

from __future__ import annotations

import asyncio
import base64
import logging
import mimetypes
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.core.clock import SandboxClock
from sandbox.core.faults import FAULTS, FaultRules
from sandbox.core.models.domain.input_validation import defaults
from sandbox.core.models.domain.model import Model, ModelCatalog
from sandbox.core.predictions import ports
from sandbox.core.predictions.domain import prediction as pred
from sandbox.core.predictions.domain.charges import Charge, input_hash
from sandbox.core.predictions.domain.prediction import Prediction, Status
from sandbox.core.predictions.webhooks import Webhooks
from servicekit.concurrency import end, first_of

JSON = dict[str, Any]
_log = logging.getLogger(__name__)


@dataclass
class _Run:
    """A prediction that is not final. `deadline`: cancels it in time; `ended`: is set at its end."""

    prediction: Prediction
    work: asyncio.Task[None]
    deadline: asyncio.Task[None] | None
    ended: asyncio.Event


@dataclass(frozen=True, kw_only=True)
class PredictionRunner:
    """Runs each prediction from its create to its final state.

    `speed`: of the models; `ttl`: life of outputs; `folder`: where outputs are stored.
    """

    store: ports.Store
    catalog: ModelCatalog
    clock: SandboxClock
    renderer: ports.Renderer
    inputs: ports.InputFiles
    webhooks: Webhooks
    faults: FaultRules
    speed: float
    ttl: timedelta
    folder: Path
    _runs: dict[str, _Run] = field(init=False, default_factory=dict)

    async def start(self) -> None:
        """Start again what an earlier process has not finished."""
        for prediction in self.store.unfinished():
            self._launch(prediction)
        self.webhooks.resume()

    async def stop(self) -> None:
        """Stop all work. Unfinished predictions begin anew after the next start."""
        tasks = [task for run in self._runs.values() for task in (run.work, run.deadline) if task]
        await end(*tasks)
        await self.webhooks.stop()

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
        now = self.clock.now()
        rule = None if fault else self.faults.take("prediction", route="create", model=model.full_name)
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
        self.store.create(prediction, self._charge(prediction, model))
        self._launch(prediction)
        return prediction

    def get(self, prediction_id: str) -> Prediction | None:
        run = self._runs.get(prediction_id)
        return run.prediction if run else self.store.get(prediction_id)

    def current(self, prediction: Prediction) -> Prediction:
        """The prediction with the logs and the state of its run, which the store has at its end only."""
        run = self._runs.get(prediction.id)
        return run.prediction if run else prediction

    def cancel(self, prediction_id: str, *, by_deadline: bool = False) -> Prediction | None:
        """Stop a prediction. One that is final stays as it is."""
        run = self._runs.get(prediction_id)
        if run is None:
            return self.store.get(prediction_id)
        now, ttl = self.clock.now(), self.ttl
        ended = pred.canceled(run.prediction, now, ttl=ttl, by_deadline=by_deadline)
        self._finish(ended)
        run.work.cancel()
        return ended

    async def wait(self, prediction_id: str, seconds: float) -> Prediction:
        """The prediction once it is final, or as it is after so many seconds."""
        run = self._runs.get(prediction_id)
        if run is not None:
            await first_of(run.ended.wait(), self.clock.sleep(seconds))
        found = self.get(prediction_id)
        if found is None:
            raise KeyError(prediction_id)
        return found

    def _charge(self, prediction: Prediction, model: Model) -> Charge:
        value = {**defaults(model.openapi), **prediction.input}
        seconds = float(value.get("duration", 5)) if model.price.second else 0.0
        files = int(value.get("num_outputs", 1)) if model.price.file else 0
        amount = model.price.amount(seconds=seconds, files=files)
        return Charge(
            prediction.id, model.full_name, prediction.created_at, amount, prediction.webhook,
            input_hash(prediction.input),
        )  # fmt: skip

    def _launch(self, prediction: Prediction) -> None:
        work = asyncio.create_task(self._run(prediction.id))
        at, deadline = prediction.deadline, None
        if at is not None:
            deadline = asyncio.create_task(self._cancel_at(at, prediction.id))
        self._runs[prediction.id] = _Run(prediction, work, deadline, asyncio.Event())

    async def _cancel_at(self, deadline: datetime, prediction_id: str) -> None:
        await self.clock.sleep((deadline - self.clock.now()).total_seconds())
        self.cancel(prediction_id, by_deadline=True)

    async def _run(self, prediction_id: str) -> None:
        run = self._runs[prediction_id]
        prediction = run.prediction
        model = self.catalog.models[prediction.model]
        name = (prediction.fault or {}).get("fault", "")
        boot = prediction.created_at + timedelta(seconds=model.boot_s / self.speed)
        if boot > self.clock.now():
            await self.clock.sleep((boot - self.clock.now()).total_seconds())
        if await self._ends_before_start(prediction, name):
            return
        run.prediction = pred.started(prediction, self.clock.now())
        self.webhooks.notify(run.prediction, "start")
        shortest = asyncio.ensure_future(self.clock.sleep(model.run_s / self.speed))
        try:
            if name in FAULTS and FAULTS[name].error:
                await shortest
                self._fail(run.prediction, FAULTS[name].error)
                return
            if name == "stuck_processing":
                await asyncio.Event().wait()
            rendered = await self._render(run.prediction, model)
            await shortest
            self._succeed(run.prediction, model, rendered, name)
        except ports.RenderError as refused:
            await shortest
            self._fail(run.prediction, f"The input was invalid. {refused} (E006)")
        except Exception:  # noqa: BLE001 - a defect of a renderer must end the prediction
            _log.exception("rendering failed", extra={"prediction": prediction.id, "model": prediction.model})
            self._fail(run.prediction, "Prediction failed for an unknown reason (E1000)")
        finally:
            shortest.cancel()

    async def _ends_before_start(self, prediction: Prediction, name: str) -> bool:
        if name == "stuck_starting":
            await asyncio.Event().wait()
        if name == "aborted":
            self._finish(pred.canceled(prediction, self.clock.now(), ttl=self.ttl, by_deadline=True))
        elif name in ("E6716", "E8765", "E9828"):
            self._fail(prediction, FAULTS[name].error)
        return prediction.id not in self._runs

    async def _render(self, prediction: Prediction, model: Model) -> ports.Rendered:
        folder = self.folder / prediction.id
        value = {**defaults(model.openapi), **prediction.input}
        pictures: dict[str, Path] = {}
        if model.kind == "video":
            for name, address in value.items():
                if isinstance(address, str) and address.startswith(("http://", "https://", "data:")):
                    pictures[name] = await self.inputs.fetch(address, folder)
        job = ports.RenderJob(prediction.id, model.full_name, model.kind, value, pictures, folder)
        loop = asyncio.get_running_loop()

        def progress(fraction: float, line: str) -> None:
            loop.call_soon_threadsafe(self._log, prediction.id, _progress_line(fraction, line))

        return await self.renderer.render(job, progress)

    def _log(self, prediction_id: str, line: str) -> None:
        run = self._runs.get(prediction_id)
        if run is not None:
            logs = f"{run.prediction.logs}{line.strip()}\n"
            run.prediction = replace(run.prediction, logs=logs)
            self.webhooks.notify(run.prediction, "logs")

    def _succeed(self, prediction: Prediction, model: Model, rendered: ports.Rendered, fault: str) -> None:
        now = self.clock.now()
        ttl = timedelta(0) if fault == "data_removed" else self.ttl
        files: list[ports.OutputFile] = []
        names: list[str] = []
        for made in rendered.files:
            if fault == "output_inline":
                names.append(_data_uri(made.path, made.content_type))
                continue
            token = secrets.token_urlsafe(24)
            size = made.path.stat().st_size
            files.append(
                ports.OutputFile(
                    token, prediction.id, prediction.model, made.name, made.path, made.content_type, size,
                    f'"{secrets.token_hex(16)}"', now + ttl,
                )
            )  # fmt: skip
            names.append(f"files/{token}/{made.name}")
        output: Any = names if model.form == "list" else names[0]
        if model.form == "object":
            output = {"video": names[0], "notes": rendered.notes}
        self.webhooks.notify(replace(prediction, output=output), "output")
        ended = pred.ended(
            prediction, Status.SUCCEEDED, now, output=output, metrics=rendered.metrics, ttl=ttl
        )
        self._finish(ended, files)

    def _fail(self, prediction: Prediction, error: str) -> None:
        self._finish(pred.ended(prediction, Status.FAILED, self.clock.now(), error=error, ttl=self.ttl))

    def _finish(self, prediction: Prediction, files: list[ports.OutputFile] | None = None) -> None:
        message = self.webhooks.terminal_message(prediction)
        self.store.save(prediction, files or (), message)
        run = self._runs.pop(prediction.id)
        if run.deadline is not None:
            run.deadline.cancel()
        self.webhooks.finish(prediction, message)
        run.ended.set()


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
