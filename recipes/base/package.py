"""Stage 9: put the trained networks and the demo voices into the package.

    python -m recipes.base.package --cache CACHE --content fifth --decoder between

Writes src/timbre/assets/base (weights in half precision, sizes) and src/timbre/assets/voices.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from recipes.base.manifest import read_rows
from recipes.base.recordings import data_folder
from recipes.base.training import load_voice_run
from timbre.audio.mixing import to_mono
from timbre.audio.reader import read_audio
from timbre.audio.resample import resample
from timbre.config.fast import SAMPLE_RATE_HZ as VOICE_RATE_HZ
from timbre.config.fast import FastShape
from timbre.dsp.frontend import SAMPLE_RATE_HZ
from timbre.models.fast.decoder import FastDecoder
from timbre.pitch.trackers import load_tracker
from timbre.voice.base import BASE_NAME, SHAPE_FILE, WEIGHTS_FILE, FastNetworks, load_base
from timbre.voice.card import VoiceCard
from timbre.voice.fast import FastVoice
from timbre.voice.reference import hear
from timbre.voice.shelf import ASSETS

VERSION = "4.1"
MAX_REFERENCE_S = 180.0
ENDS_HZ = (7_300.0, 8_500.0)  # between these most recordings end
SMOOTHED_BINS = 5  # 215 Hz
KNOWN_HZ = 18_000.0  # nine tenths of the bandwidth that all but four minutes of the recordings have at most
TREBLE_BINS = 9  # whose mean is held above that


@dataclass(frozen=True)
class DemoVoice:
    """One packaged voice and whose recordings it comes from."""

    name: str
    speaker: str
    description: str
    language: str
    licence: str
    attribution: str


DEMO_VOICES = (
    DemoVoice(
        "ada",
        "ljspeech/LJ",
        "female, English, reading",
        "en",
        "public domain",
        "LJ Speech: Linda Johnson / LibriVox, Keith Ito",
    ),
    DemoVoice(
        "greta",
        "kerstin/kerstin",
        "female, German, reading",
        "de",
        "CC0 1.0",
        "Voice dataset 'Kerstin', recorded for the Rhasspy project",
    ),
    DemoVoice(
        "ravi",
        "msc_malayalam/spk001",
        "male, Malayalam, reading",
        "ml",
        "CC BY-SA 4.0",
        "Malayalam Speech Corpus, Swathanthra Malayalam Computing and contributors (speaker 001)",
    ),
    DemoVoice(
        "finn",
        "picovoice_barista/cluster39",
        "male, English, short commands",
        "en",
        "Apache-2.0",
        "Speech-to-intent benchmark, Picovoice Inc. (speaker group 39, estimated by clustering)",
    ),
)


def package_networks(cache: Path, content: str, decoder: str, folder: Path) -> None:
    """Write the averaged weights of two runs as one file in half precision."""
    networks = FastNetworks(FastShape())
    saved = load_voice_run(cache, decoder, content)
    networks.content.load_state_dict(saved["averaged_encoder"])
    voice = saved["averaged"]
    for part in ("speaker", "decoder"):
        state = {key.removeprefix(f"{part}."): value for key, value in voice.items() if key.startswith(f"{part}.")}
        getattr(networks, part).load_state_dict(state)
    calm_treble(networks.decoder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.half().contiguous() for name, tensor in networks.state_dict().items()}, folder / WEIGHTS_FILE
    )
    about = {"name": BASE_NAME, "version": VERSION, "licence": "CC-BY-SA-4.0", "shape": FastShape().to_mapping()}
    (folder / SHAPE_FILE).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


@torch.no_grad()
def calm_treble(decoder: FastDecoder) -> None:
    """Make the filters above 7.3 kHz as smooth along frequency as voices are.

    Most recordings end at 8 kHz, and how they end was learned as if it were the voice: a hump and a notch, which are
    bridged. Few reach higher, so neighbouring bins learned different accidents. Hardly a loss judged those above
    18 kHz: they are wild, so what is drawn below is held. The drawing is linear in the last layer, so smooth weights
    draw smooth filters.
    """
    edges_hz = (*ENDS_HZ, KNOWN_HZ)
    first, last, known = (round(hz / (VOICE_RATE_HZ / 2) * (decoder.n_bins - 1)) for hz in edges_hz)
    half = SMOOTHED_BINS // 2
    share = torch.linspace(0, 1, last - first + 1)
    for parameter in decoder.output.parameters():
        filters = parameter.data.unflatten(0, (3, decoder.n_bins)).movedim(1, -1)  # [3, .., bins]
        smooth = filters.unfold(-1, SMOOTHED_BINS, 1).mean(dim=-1)  # its bin b is centred on b + half
        filters[..., last:known] = smooth[..., last - half : known - half]
        below, above = (smooth[..., place - half, None] for place in (first, last))
        filters[..., first : last + 1] = below + share * (above - below)
        filters[..., known:] = filters[..., known - TREBLE_BINS : known].mean(dim=-1, keepdim=True)


def package_voice(demo: DemoVoice, folder: Path) -> None:
    """Make one demo voice from its speaker's recordings."""
    base = load_base()
    heard = hear(base, _waves(demo.speaker), load_tracker("pm"))
    card = VoiceCard(
        name=demo.name,
        description=demo.description,
        languages=(demo.language,),
        median_f0_hz=round(heard.median_f0_hz, 1),
        licence=demo.licence,
        attribution=demo.attribution,
        base=BASE_NAME,
        base_sha256=base.sha256,
        reference_s=round(heard.seconds, 1),
    )
    FastVoice(card, base, heard.reference).save(folder / demo.name, force=True)
    print(f"{demo.name}: {heard.seconds:.0f} s, median {heard.median_f0_hz:.0f} Hz")


def _waves(speaker: str) -> Iterator[np.ndarray]:
    """Yield a speaker's recordings, at most three minutes of them."""
    rows = [row for row in read_rows(data_folder()) if row["speaker"] == speaker]
    seconds = 0.0
    for row in rows:
        if seconds > MAX_REFERENCE_S:
            break
        sound = read_audio(data_folder() / row["path"])
        seconds += sound.duration_s
        yield resample(to_mono(sound.samples), sound.sample_rate_hz, SAMPLE_RATE_HZ)


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read this stage's arguments, those of the command line where none are given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--content", required=True)
    parser.add_argument("--decoder", required=True)
    parser.add_argument("--out", type=Path, default=ASSETS)
    return parser.parse_args(given)


def main() -> None:
    """Package the base and its voices."""
    arguments = parse()
    package_networks(arguments.cache, arguments.content, arguments.decoder, arguments.out / "base")
    for demo in DEMO_VOICES:
        package_voice(demo, arguments.out / "voices")


if __name__ == "__main__":
    main()
