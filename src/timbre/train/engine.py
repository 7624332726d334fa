"""The loop that trains a voice of any family: steps, probes, checkpoints, and when to stop."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from timbre.config.train import TrainSettings
from timbre.dataset.places import write_text
from timbre.files.writing import new_file
from timbre.train.board import Board
from timbre.train.checkpoints import Checkpoints
from timbre.train.curve import draw_curves
from timbre.train.listening import Bounds
from timbre.train.run_folder import CHECKPOINTS_FOLDER, CURVE_FILE, EVENTS_FOLDER, SCORES_FILE
from timbre.train.trainee import TOTAL, Trainee
from timbre.train.wording import asked, counted

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")
SHOWN_EVERY_STEPS, MOST_CURVES = 10, 5
LEAST_GAIN = 0.001  # of the score, for which patience begins anew
_SAVE, _PROBE, _STOP, _INTERRUPTED = 1, 2, 4, 8


@dataclass(frozen=True)
class Score:
    """One probe of the history."""

    step: int
    minutes: float
    score: float
    numbers: dict[str, float]


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    step: int
    spent_s: float
    done: float  # 0 to 1, by whatever ends it first; 0 where only patience does
    total_loss: float
    best: Score | None


@dataclass(frozen=True)
class Ended:
    """How a training ended."""

    step: int
    spent_s: float
    reason: str  # in words
    history: tuple[Score, ...]

    @property
    def best(self) -> Score:
        """The probe with the largest score; of equals the first."""
        return max(self.history, key=lambda score: score.score)


class Engine:
    """One training in one process; all processes of a run do the same, the first one writes."""

    def __init__(
        self,
        trainee: Trainee,
        run: Path,
        settings: TrainSettings,
        accelerator: Accelerator,
        bounds: Bounds | None = None,
    ) -> None:
        self._trainee, self._run, self._settings, self._accelerator = trainee, run, settings, accelerator
        self._bounds = bounds  # of the similarity of probes, for the picture
        self._checkpoints = Checkpoints(run / CHECKPOINTS_FOLDER)
        self._history: list[Score] = []
        self._step, self._spent_s = 0, 0.0
        self._saved_step, self._saved_s, self._probed_s = -1, 0.0, 0.0
        self._interrupted = False

    def train(self, on_progress: Callable[[Progress], None] | None = None) -> Ended:
        """Train from where it is, the start or what `resume` found, until something ends it.

        Raises KeyboardInterrupt, which says at what step, once all is saved where SIGINT or SIGTERM came.
        """
        resumed = self._saved_step if self._saved_step >= 0 else None
        board = Board(self._run / EVENTS_FOLDER, resumed) if self._accelerator.is_main_process else None
        began = time.monotonic() - self._spent_s
        try:
            with self._signals_noted():
                return self._loop(began, board, on_progress)
        finally:
            if board is not None:
                board.close()

    def load_best(self, ended: Ended) -> None:
        """Put the best checkpoint into networks and optimizers."""
        self._checkpoints.load(ended.best.step, self._trainee.modules, self._trainee.optimizers)

    def _loop(self, began: float, board: Board | None, on_progress: Callable[[Progress], None] | None) -> Ended:
        while True:
            self._spent_s = time.monotonic() - began
            reason = self._limit_reached()
            due = self._agreed(self._due(reason is not None))
            if due & _PROBE:
                self._probe(board)
                self._spent_s = time.monotonic() - began
                self._probed_s = self._spent_s
                reason = reason or self._patience_ended()
                due |= self._agreed(_STOP * (reason is not None))
            if due & (_SAVE | _PROBE | _STOP | _INTERRUPTED):
                self._save()
            if due & _INTERRUPTED:
                raise KeyboardInterrupt(f"saved at step {self._step}; the same command goes on from there")
            if due & _STOP:
                break
            scalars = self._trainee.step(self._step)
            self._step += 1
            if self._step % SHOWN_EVERY_STEPS == 0:
                self._show(self._mean(scalars), board, on_progress)
        return Ended(self._step, self._spent_s, reason or "the first process ended it", self._shared_history())

    def _due(self, at_limit: bool) -> int:
        """Return what is to be done before the next step."""
        settings, fresh = self._settings, not self._history
        new = self._step > self._saved_step
        due = 0
        if settings.checkpoint_steps is not None:
            due |= _SAVE * (new and self._step % settings.checkpoint_steps == 0)
        else:
            due |= _SAVE * (new and self._spent_s - self._saved_s >= 60 * settings.checkpoint_minutes)
        waited = self._spent_s - self._probed_s >= 60 * settings.minutes_between_probes
        unheard = fresh or self._history[-1].step < self._step
        due |= _PROBE * (fresh or (unheard and (waited or at_limit)))
        due |= _STOP * at_limit
        # Nothing is lost where an interruption comes before the first probe: it is made again.
        return _INTERRUPTED | (_SAVE * new) if self._interrupted else due

    def _limit_reached(self) -> str | None:
        """Say which of the limits was reached; None where there is still something to do."""
        settings = self._settings
        if settings.steps is not None and self._step >= settings.steps:
            return asked(settings.steps, "step")
        if settings.minutes is not None and self._spent_s >= 60 * settings.minutes:
            return asked(settings.minutes, "minute")
        if settings.epochs is not None and self._epochs >= settings.epochs:
            return asked(settings.epochs, "epoch")
        return None

    def _patience_ended(self) -> str | None:
        """Say so where the last probes brought no gain that is more than chance."""
        patience, best, n_since = self._settings.probes_of_patience, -math.inf, 0
        for probe in self._history:
            n_since = 0 if probe.score > best + LEAST_GAIN else n_since + 1
            best = probe.score if n_since == 0 else best
        return f"{counted(patience, 'probe')} brought no gain" if 0 < patience <= n_since else None

    @property
    def _epochs(self) -> float:
        items: int = self._step * self._trainee.batch_size * self._accelerator.num_processes
        return items / self._trainee.items_per_epoch

    def _agreed(self, due: int) -> int:
        """Return what the first process decided."""
        if self._accelerator.num_processes == 1:
            return due
        from accelerate.utils import broadcast

        decided = broadcast(torch.tensor([due], device=self._accelerator.device))
        return int(decided.item())

    def _shared_history(self) -> tuple[Score, ...]:
        """Return the probes of the first process, which is the only one that listens."""
        return tuple(of_first_process(self._history, self._accelerator))

    def _probe(self, board: Board | None) -> None:
        if not self._accelerator.is_main_process:
            return
        result = self._trainee.probe()
        self._history.append(Score(self._step, round(self._spent_s / 60, 2), result.score, dict(result.numbers)))
        record = {
            "best_step": self._best.step,
            "bounds": self._bounds and asdict(self._bounds),
            "history": [asdict(score) for score in self._history],
        }
        write_text(self._run / SCORES_FILE, json.dumps(record, indent=1) + "\n")
        rows = {"score": [score.score for score in self._history]}
        names = [name for score in reversed(self._history) for name in score.numbers]
        for name in list(dict.fromkeys(names))[:MOST_CURVES]:
            rows[name] = [score.numbers.get(name, math.nan) for score in self._history]
        steps = [score.step for score in self._history]
        with new_file(self._run / CURVE_FILE) as temporary:
            temporary.write_bytes(draw_curves(steps, rows, self._best.step, self._levels()))
        if board is not None:
            board.probe(self._step, result)

    def _levels(self) -> dict[str, dict[str, float]]:
        """Return what rows of the picture are to be compared with."""
        bounds = self._bounds
        if bounds is None:
            return {}
        return {"similarity": {"unconverted": bounds.floor, "the speaker's own recordings": bounds.ceiling}}

    def _save(self) -> None:
        if self._accelerator.is_main_process:
            facts = {"spent_s": self._spent_s, "history": [asdict(score) for score in self._history]}
            self._checkpoints.save(self._step, self._trainee.modules, self._trainee.optimizers, facts)
            self._checkpoints.tidy(self._settings.keep_checkpoints, self._best.step if self._history else None)
        self._saved_step, self._saved_s = self._step, self._spent_s
        self._accelerator.wait_for_everyone()

    def resume(self) -> tuple[str, ...]:
        """Go to the newest checkpoint, if there is one, and say so; raises WeightsError where it is damaged."""
        steps = self._checkpoints.steps()
        if not steps:
            return ()
        facts = self._checkpoints.load(steps[-1], self._trainee.modules, self._trainee.optimizers)
        try:
            self._step, self._spent_s = int(facts["step"]), float(facts["spent_s"])
            history = [Score(**score) for score in facts["history"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._checkpoints.damaged(steps[-1], error) from error
        self._saved_step, self._saved_s, self._probed_s = self._step, self._spent_s, self._spent_s
        notes = [f"goes on from step {self._step}, after {self._spent_s / 60:.1f} minutes"]
        self._history = _with_best_at(steps, history)
        if len(self._history) < len(history):
            notes.append("the best checkpoint is gone; the best one that is there takes its place")
        return tuple(notes)

    @property
    def _best(self) -> Score:
        return max(self._history, key=lambda score: score.score)

    def _mean(self, scalars: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the mean scalars of all processes."""
        stacked = torch.stack([scalar.detach().float().to(self._accelerator.device) for scalar in scalars.values()])
        mean: Tensor = self._accelerator.reduce(stacked, "mean")
        return dict(zip(scalars, mean.tolist(), strict=True))

    def _show(
        self, values: dict[str, float], board: Board | None, on_progress: Callable[[Progress], None] | None
    ) -> None:
        if not self._accelerator.is_main_process:
            return
        if board is not None:
            board.scalars(self._step, values)
        if on_progress is not None:
            best = self._best if self._history else None
            on_progress(Progress(self._step, self._spent_s, self._done(), values[TOTAL], best))

    def _done(self) -> float:
        settings = self._settings
        shares = [0.0]
        shares += [self._step / settings.steps] if settings.steps else []
        shares += [self._spent_s / (60 * settings.minutes)] if settings.minutes else []
        shares += [self._epochs / settings.epochs] if settings.epochs else []
        return min(1.0, max(shares))

    @contextmanager
    def _signals_noted(self) -> Iterator[None]:
        """Note SIGINT and SIGTERM instead of stopping in the middle of a step; a second one stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True

        earlier = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)


def of_first_process(value: T, accelerator: Accelerator) -> T:
    """Return in all processes what the first one has."""
    held = [value]
    if accelerator.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        broadcast_object_list(held)
    return held[0]


def _with_best_at(steps: Sequence[int], history: Sequence[Score]) -> list[Score]:
    """Return a history without the scores that are better than all those whose checkpoint is at one of `steps`."""
    kept = [score.score for score in history if score.step in steps]
    return [score for score in history if kept and score.score <= max(kept)]
