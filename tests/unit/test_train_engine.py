"""When a training probes, saves and stops, and what its checkpoints hold; with a trainee of one number."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from timbre.config.train import TrainSettings
from timbre.errors import SettingsError, WeightsError
from timbre.evaluate.waves import MonoWave
from timbre.train.board import Board
from timbre.train.checkpoints import Checkpoints
from timbre.train.curve import draw_curves
from timbre.train.engine import Ended, Engine, Score
from timbre.train.listening import Bounds
from timbre.train.pictures import mel_pictures, sound_picture
from timbre.train.pipeline import summarise
from timbre.train.run_folder import only_one
from timbre.train.trainee import TOTAL, ProbeResult

accelerate = pytest.importorskip("accelerate")
pytest.importorskip("tensorboard")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402


class Counter:
    """A trainee whose only weight counts its steps; its probes give `scores` one after the other."""

    batch_size = 1
    items_per_epoch = 10.0

    def __init__(self, scores: Sequence[float] = ()) -> None:
        self.net = torch.nn.Linear(1, 1, bias=False)
        self.modules = {"net": self.net}
        self.optimizer = torch.optim.AdamW(self.net.parameters(), 0.1)
        self.optimizers = {"optimizer": self.optimizer}
        self.scores = list(scores)
        torch.nn.init.zeros_(self.net.weight)

    def prepare(self, accelerator: object) -> None: ...

    def rehearse(self, batch_size: int) -> None: ...

    def step(self, number: int) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            self.net.weight.add_(1.0)
        return {TOTAL: self.net.weight.detach().sum()}

    def probe(self) -> ProbeResult:
        return ProbeResult(self.scores.pop(0) if self.scores else 0.0, {"similarity": 0.5})


def train(trainee: Counter, run: Path, **settings: object) -> Ended:
    facts = TrainSettings.from_mapping(settings)
    engine = Engine(trainee, run, facts, accelerate.Accelerator(cpu=True))
    engine.resume()
    return engine.train()


def test_patience_counts_probes_without_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(0, 10**6, 30))
    monkeypatch.setattr("timbre.train.engine.time.monotonic", lambda: float(next(seconds)))
    ended = train(Counter([0.1, 0.4, 0.3, 0.2, 0.9]), tmp_path, patience=2, probe_minutes=0.5)
    assert [score.score for score in ended.history] == [0.1, 0.4, 0.3, 0.2]
    assert (ended.best.score, ended.reason) == (0.4, "2 probes brought no gain")


def test_each_limit_ends_the_training(tmp_path: Path) -> None:
    assert train(Counter(), tmp_path / "steps", steps=7).step == 7
    assert train(Counter(), tmp_path / "epochs", epochs=1.5).step == 15
    assert train(Counter(), tmp_path / "minutes", minutes=0.0).step == 0
    with pytest.raises(SettingsError, match="nothing would end"):
        TrainSettings(patience=0)


def test_one_of_a_kind_is_no_plural(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = train(Counter(), tmp_path / "steps", steps=1)
    said = summarise(one, None, 60.0, enough_s=120.0)
    assert said.startswith("Training ended after 1 step and ") and "because 1 step was asked for." in said
    assert train(Counter(), tmp_path / "more", steps=2).reason == "2 steps were asked for"
    assert train(Counter(), tmp_path / "epoch", epochs=1.0).reason == "1 epoch was asked for"
    assert train(Counter(), tmp_path / "half", epochs=0.5).reason == "0.5 epochs were asked for"
    seconds = iter(range(0, 10**6, 30))
    monkeypatch.setattr("timbre.train.engine.time.monotonic", lambda: float(next(seconds)))
    assert train(Counter(), tmp_path / "minute", minutes=1.0).reason == "1 minute was asked for"
    ended = train(Counter([0.2, 0.1]), tmp_path / "probe", patience=1, probe_minutes=0.5)
    assert ended.reason == "1 probe brought no gain"


def test_an_option_of_another_family_is_refused() -> None:
    said = "segment_s is for voices of the family fast, and the one to train is of the family vits; leave it out"
    with pytest.raises(SettingsError, match=said):
        TrainSettings(family="vits", segment_s=1.0, steps=1, name="eva")


def test_checkpoints_by_steps_keep_the_newest_and_the_best(tmp_path: Path) -> None:
    train(Counter([0.9, 0.1]), tmp_path, steps=9, checkpoint_steps=2, keep_checkpoints=2)
    assert Checkpoints(tmp_path / "checkpoints").steps() == [0, 8, 9]
    trainee = Counter()
    assert train(trainee, tmp_path, steps=9).step == 9
    assert trainee.net.weight.item() == 9.0


def test_what_an_interrupted_writing_left_is_passed_over_and_tidied(tmp_path: Path) -> None:
    train(Counter(), tmp_path, steps=2)
    checkpoint, picture = tmp_path / "checkpoints" / ".0123.part", tmp_path / ".4567.part"
    checkpoint.mkdir()
    (checkpoint / "state.safetensors").write_bytes(b"half")
    picture.write_bytes(b"half")
    assert train(Counter(), tmp_path, steps=3).step == 3
    kept = {path for path in tmp_path.rglob("*") if ".part" not in str(path)}
    with only_one(tmp_path):
        assert set(tmp_path.rglob("*")) == kept | {tmp_path / ".lock"}


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, file: str) -> None:
    train(Counter(), tmp_path, steps=2)
    (tmp_path / "checkpoints" / "step-00000002" / file).write_bytes(b"{")
    with pytest.raises(WeightsError, match=r"step-00000002 is damaged .*; delete that folder"):
        train(Counter(), tmp_path, steps=3)


@pytest.mark.parametrize("facts", ['{"step": 2}', "[1, 2]", '{"step": 2, "spent_s": 1, "history": [{"step": 0}]}'])
def test_a_checkpoint_with_other_facts_is_damaged(tmp_path: Path, facts: str) -> None:
    train(Counter(), tmp_path, steps=2)
    (tmp_path / "checkpoints" / "step-00000002" / "state.json").write_text(facts)
    with pytest.raises(WeightsError, match=r"step-00000002 is damaged .*; delete that folder"):
        train(Counter(), tmp_path, steps=3)


def test_a_best_checkpoint_that_is_gone_gives_its_place_to_the_best_that_is_there(tmp_path: Path) -> None:
    first = train(Counter([0.1, 0.9]), tmp_path, steps=2, keep_checkpoints=1)
    assert first.best.step == 2
    train(Counter([0.3]), tmp_path, steps=4, keep_checkpoints=1)
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000002")
    engine = Engine(
        Counter([0.2]), tmp_path, TrainSettings(steps=6, keep_checkpoints=1), accelerate.Accelerator(cpu=True)
    )
    notes = engine.resume()
    assert notes[0].startswith("goes on from step 4") and "is gone" in notes[1]
    ended = engine.train()
    assert ended.best.step == 4
    engine.load_best(ended)


def test_a_gain_by_chance_does_not_renew_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(0, 10**6, 30))
    monkeypatch.setattr("timbre.train.engine.time.monotonic", lambda: float(next(seconds)))
    ended = train(Counter([0.4, 0.4002, 0.4004, 0.9]), tmp_path, patience=2, probe_minutes=0.5)
    assert len(ended.history) == 3 and ended.best is ended.history[-1]


class Halting(Counter):
    """What cannot measure everything in its first probe."""

    def probe(self) -> ProbeResult:
        late = {"pitch_error_cents": 5.0} if self.net.weight.item() else {}
        return ProbeResult(0.1, {"similarity": 0.5, **late})


def test_a_measure_that_comes_later_is_drawn_from_then_on(tmp_path: Path) -> None:
    ended = train(Halting(), tmp_path, steps=2)
    assert [score.numbers.get("pitch_error_cents") for score in ended.history] == [None, 5.0]
    assert (tmp_path / "scores.png").stat().st_size > 1000


def test_an_optimizer_comes_back_to_the_bit(tmp_path: Path) -> None:
    def learn(optimizer: torch.optim.Optimizer, net: torch.nn.Linear) -> None:
        optimizer.zero_grad()
        net(torch.ones(1, 1)).pow(2).sum().backward()
        optimizer.step()

    first, second = Counter(), Counter()
    torch.nn.init.ones_(first.net.weight)
    for _ in range(3):
        learn(first.optimizer, first.net)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, first.modules, first.optimizers, {"spent_s": 1.5})
    assert checkpoints.load(3, second.modules, second.optimizers) == {"step": 3, "spent_s": 1.5}
    for trainee in (first, second):
        learn(trainee.optimizer, trainee.net)
    assert torch.equal(first.net.weight, second.net.weight)


def test_curves_are_a_picture_that_shows_each_row() -> None:
    flat = {"score": [0.1, 0.1, 0.1], "a<b": [0.2, 0.2, 0.2]}
    pictures = {
        name: io.BytesIO(draw_curves([0, 5, 9], rows, best))
        for name, rows, best in (
            ("flat", flat, 5),
            ("risen", flat | {"score": [0.1, 0.5, 0.4]}, 5),
            ("later", flat, 9),
            ("single", {"score": [0.1, 0.1, 0.1]}, 5),
        )
    }
    pixels = {name: np.asarray(Image.open(file).convert("L")) for name, file in pictures.items()}
    assert pixels["flat"].shape[0] > pixels["single"].shape[0]
    for name in ("risen", "later"):
        assert (pixels[name] != pixels["flat"]).any()
    draw_curves([0], {"score": [0.1]}, 0)


def test_a_level_far_from_a_row_is_in_its_panel() -> None:
    def pixels(level: float) -> np.ndarray:
        file = io.BytesIO(draw_curves([0, 5], {"similarity": [0.5, 0.6]}, 5, {"similarity": {"ceiling": level}}))
        return np.asarray(Image.open(file).convert("RGB")).astype(int)

    blue = {level: np.argwhere(pixels(level)[..., 2] - pixels(level)[..., 0] > 100) for level in (0.7, 3.0)}
    height = {level: np.ptp(places[:, 0]) for level, places in blue.items()}
    assert height[3.0] < height[0.7] / 2  # the row is small beside what it is compared with


def test_the_board_shows_sounds_under_the_names_of_the_tutorial(tmp_path: Path) -> None:
    chirp = np.sin(np.cumsum(np.linspace(0.05, 0.5, 8000))).astype(np.float32)
    for resumed, steps in ((None, (1, 2, 3)), (2, (4,))):
        board = Board(tmp_path, resumed)
        for step in steps:
            board.scalars(step, {TOTAL: 0.5, "learning_rate": 1e-3})
            pictures = {"all/mel": torch.rand(3, 20, 30)}
            source = {"a": MonoWave(chirp[:100], 44_100)}
            board.probe(step, ProbeResult(0.1, {}, {"a": chirp}, 16_000, source, pictures))
        board.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["audio"]) == {"gen/audio_0", "gt/audio_0"}
    assert set(events.Tags()["images"]) == {"gen/mel_0", "gt/mel_0", "all/mel"}
    for name in ("loss/g/total", "probe/score"):
        assert [event.step for event in events.Scalars(name)] == [1, 2, 4]


def test_a_rising_tone_rises_in_its_picture() -> None:
    shown = sound_picture(torch.sin(torch.linspace(0.05, 2.5, 44_100).cumsum(0)), 44_100).sum(dim=0)
    brightest, frame = shown.argmax(dim=0), shown.shape[1] / 86
    places = [int(brightest[int(at * frame)]) for at in (5, 40, 80)]
    assert places[0] > places[1] > places[2]  # row 0 is the top


def test_spectrograms_side_by_side_have_the_same_colours() -> None:
    loud, quiet = torch.zeros(4, 300), torch.full((4, 300), -40 / 8.686)
    alone, beside = mel_pictures([loud, quiet])
    assert alone.shape == beside.shape == (3, 200, 300)
    assert float(beside.sum()) < 0.8 * float(alone.sum())
    assert torch.equal(mel_pictures([quiet])[0], alone)


def test_the_last_paragraph_tells_what_would_help() -> None:
    def said(scores: Sequence[float], train_s: float, similarity: float = 0.6) -> str:
        numbers = {"similarity": similarity, "content_distance": 0.2}
        history = tuple(Score(10 * place, 1.0, score, numbers) for place, score in enumerate(scores))
        ended = Ended(20, 60.0, "1 minute was asked for", history)
        return summarise(ended, Bounds(0.5, 0.8), train_s, enough_s=120.0)

    assert "No step was better" in said([0.5, 0.4], 300)
    assert "more time would help" in said([0.3, 0.4], 300)
    assert "the 60 s of sound" in said([0.3, 0.4, 0.2], 60)
    assert "The probes after it were not better" in said([0.3, 0.4, 0.2], 300)
    assert "as similar to its recordings" in said([0.3, 0.4], 300, similarity=0.79)
