"""What the fast family learns from and by: items drawn by number, losses, and a voice with its own decoder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.toy_fast_dataset import write_fast_dataset
from tests.toys import make_toy_base, make_toy_voice
from timbre.config.convert import ConvertSettings
from timbre.dataset.folder import open_dataset
from timbre.errors import DatasetError, VoiceError
from timbre.models.fast.discriminator import MelDiscriminator
from timbre.train.fast import with_copies
from timbre.train.fast_items import Clip, Items, ItemSource, choose_speaker, load_clips
from timbre.train.fast_losses import FastLosses, MelPatches
from timbre.voice.base import Base, with_decoder
from timbre.voice.fast import DECODER_FILE, FastVoice, read_voice

SEGMENT_S = 0.3


@pytest.fixture(scope="module")
def base() -> Base:
    return make_toy_base()


@pytest.fixture(scope="module")
def dataset_folder(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fast_dataset(tmp_path_factory.mktemp("fast") / "ds", base, n_clips=6, seconds=1.0)


@pytest.fixture(scope="module")
def clips(base: Base, dataset_folder: Path) -> list[Clip]:
    dataset = open_dataset(dataset_folder)
    return load_clips(dataset, dataset.clips("train"), base)


def source(clips: list[Clip], seed: int = 0) -> ItemSource:
    return ItemSource(clips, clips[-1].frames, [make_toy_voice().reference], SEGMENT_S, seed)


def assert_equal(one: Items, other: Items) -> None:
    for name, tensor in vars(one).items():
        assert torch.equal(tensor, getattr(other, name)), name


def test_items_depend_on_seed_and_number_only(clips: list[Clip]) -> None:
    items = source(clips)
    items.draw(6, 0, 3, 1, 1)
    again = items.draw(7, 0, 3, 1, 1)
    assert_equal(again, source(clips).draw(7, 0, 3, 1, 1))
    for other in (source(clips).draw(8, 0, 3, 1, 1), source(clips, seed=1).draw(7, 0, 3, 1, 1)):
        assert not torch.equal(again.noise, other.noise)


def test_two_parts_hold_the_items_of_one_of_twice_the_size(clips: list[Clip]) -> None:
    parts = [source(clips).draw(3, part, 2, 1, 1) for part in (0, 1)]
    whole = source(clips).draw(3, 0, 4, 2, 2)
    assert torch.equal(torch.cat([part.target for part in parts]), whole.target)
    for kind in (slice(0, 2), slice(2, 3), slice(3, 4)):
        doubled = slice(2 * kind.start, 2 * kind.stop)
        assert torch.equal(torch.cat([part.loudness[kind] for part in parts]), whole.loudness[doubled])
    assert torch.equal(torch.cat([part.noise[2:] for part in parts]), whole.noise[4:])


def test_an_item_fits_together(clips: list[Clip]) -> None:
    items = source(clips).draw(0, 0, 4, 1, 2)
    n = items.content.shape[1]
    assert items.f0_hz.shape == (7, n + 2) and items.target.shape == (4, 441 * n) and items.noise.shape[:2] == (5, n)
    waves = torch.cat([clip.wave for clip in clips]).unfold(0, 441 * n, 441)
    assert all((waves == target).all(dim=1).any() for target in items.target)
    torch.testing.assert_close(items.speaker.norm(dim=-1), torch.ones(7))


def test_a_phrase_is_said_at_the_pitch_of_the_speaker(clips: list[Clip]) -> None:
    phrases = dataclasses.replace(clips[-1].frames, f0_hz=3 * clips[-1].f0_hz)
    items = ItemSource(clips, phrases, [], SEGMENT_S, 0).draw(0, 0, 1, 20, 0)
    said, median_hz = items.f0_hz[1:], torch.cat([clip.f0_hz[clip.f0_hz > 0] for clip in clips]).median()
    assert all(0.8 < float(f0_hz[f0_hz > 0].median() / median_hz) < 1.25 for f0_hz in said)
    assert torch.equal(items.content[1:], items.wanted_content[1:])
    windows = phrases.content.unfold(0, items.content.shape[1], 1).movedim(-1, 1)
    assert all((windows == content).all(dim=(1, 2)).any() for content in items.content[1:])


def losses_of(base: Base) -> FastLosses:
    return FastLosses(base.networks, MelDiscriminator(4))


def test_phrases_are_judged_by_what_is_heard_alone(clips: list[Clip], base: Base) -> None:
    learning, items = losses_of(base), source(clips).draw(0, 0, 2, 2, 0)
    other = dataclasses.replace(items, wanted_content=items.wanted_content.clone())
    other.wanted_content[2:] *= -1
    with torch.no_grad():
        (one, _), (changed, _) = learning(items, 0), learning(other, 0)
    assert not torch.isclose(changed["content"], one["content"], atol=1e-3)
    assert torch.equal(one["spectral"], changed["spectral"]) and torch.equal(one["mel"], changed["mel"])


def test_copies_are_what_is_heard_in_other_voices(clips: list[Clip], base: Base) -> None:
    copied = with_copies(clips[:2], base, [make_toy_voice()])
    for clip in copied:
        (copy,) = clip.copies
        assert copy.shape == clip.content.shape and not torch.allclose(copy, clip.content, atol=0.1)
    assert with_copies(clips[:1], base, []) == clips[:1]


def test_only_the_decoder_learns_and_other_voices_cost_nothing_at_first(clips: list[Clip], base: Base) -> None:
    learning = losses_of(base)
    losses, _ = learning(source(clips).draw(0, 0, 2, 1, 1), 0)
    assert losses["base"].item() < 1e-5 and losses["spectral"].item() > 0
    losses["total"].backward()
    assert {name.split(".")[0] for name, _ in learning.named_parameters()} == {"decoder"}
    assert all(parameter.grad is not None for parameter in learning.parameters())
    assert all(parameter.grad is None for parameter in base.networks.parameters())
    with torch.no_grad():
        learning.decoder.output.bias.add_(0.1)
    assert learning(source(clips).draw(0, 0, 2, 1, 1), 0)[0]["base"].item() > 0.05


def test_the_discriminator_learns_what_recordings_are_and_the_decoder_what_it_takes_for_them() -> None:
    torch.manual_seed(0)
    discriminator = MelDiscriminator(4)
    patches = MelPatches(torch.randn(4, 20, 80), (torch.randn(6, 20, 80) + torch.linspace(-2, 2, 80)).requires_grad_())
    optimizer = torch.optim.AdamW(discriminator.parameters(), 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        patches.discriminator_loss(discriminator).backward()
        optimizer.step()
    assert patches.made.grad is None
    judged = patches.adversarial_loss(discriminator)
    assert patches.discriminator_loss(discriminator).item() < 0.1 < 0.5 < judged.item()
    judged.backward()
    assert patches.made.grad is not None
    nearer = MelPatches(patches.recorded, patches.made.detach() - 0.5 * patches.made.grad.sign())
    assert nearer.adversarial_loss(discriminator).item() < judged.item()


def test_copies_and_phrases_weigh_alike_and_the_level_does_not_count() -> None:
    discriminator = MelDiscriminator(4)
    recorded, copies, phrase = torch.randn(3, 20, 80), torch.randn(3, 20, 80), torch.randn(1, 20, 80)
    with torch.no_grad():
        both = MelPatches(recorded, torch.cat((copies, phrase))).adversarial_loss(discriminator)
        each = [(discriminator(made) - 1).square().mean() for made in (copies, phrase)]
        alone = MelPatches(recorded, copies).adversarial_loss(discriminator)
        torch.testing.assert_close(discriminator(copies + 3), discriminator(copies), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(both, (each[0] + each[1]) / 2)
    torch.testing.assert_close(alone, each[0])


def test_a_speaker_must_be_named_where_there_are_several(dataset_folder: Path) -> None:
    dataset = open_dataset(dataset_folder)
    manifest = dataclasses.replace(dataset.manifest, speakers={"eve": 0, "ada": 1})
    two = dataclasses.replace(dataset, manifest=manifest)
    with pytest.raises(DatasetError, match="choose one with --speaker"):
        choose_speaker(two, None)
    with pytest.raises(DatasetError, match="no speaker 'bob'; it holds: eve, ada"):
        choose_speaker(two, "bob")
    with pytest.raises(DatasetError, match=r"5\.0 s in 5 clips of 'eve'"):
        choose_speaker(two, "eve")


@pytest.fixture
def tuned(base: Base) -> FastVoice:
    """The toy voice with a decoder of its own."""
    learned = losses_of(base).decoder.eval().requires_grad_(False)
    learned.output.bias.add_(0.25)
    toy = make_toy_voice()
    return FastVoice(toy.card, with_decoder(base, learned), toy.reference)


def test_a_voice_keeps_its_own_decoder(tuned: FastVoice, clips: list[Clip], base: Base, tmp_path: Path) -> None:
    card = tuned.save(tmp_path / "voice", extras={"notes.txt": b"more"})
    read = read_voice(tmp_path / "voice", base)
    assert card.decoder_sha256 and read.base.is_tuned and (tmp_path / "voice" / "notes.txt").read_bytes() == b"more"
    assert read.base.networks.content is base.networks.content
    frames, settings = clips[0].frames, ConvertSettings()
    wanted, untuned = tuned.render(frames, settings), make_toy_voice().render(frames, settings)
    difference = (read.render(frames, settings) - wanted).abs().mean()
    assert difference < 0.02 * (wanted - untuned).abs().mean()
    read.save(tmp_path / "again")
    assert (tmp_path / "again" / DECODER_FILE).read_bytes() == (tmp_path / "voice" / DECODER_FILE).read_bytes()


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_decoder_is_refused(tuned: FastVoice, base: Base, tmp_path: Path, damage: str) -> None:
    tuned.save(tmp_path / "voice")
    file = tmp_path / "voice" / DECODER_FILE
    content = file.read_bytes()
    file.unlink()
    if damage == "changed":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(VoiceError, match="is damaged"):
        read_voice(tmp_path / "voice", base)
