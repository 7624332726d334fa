"""Stage 6: give every recording another voice with the decoder so far, and keep the content heard in the copy.

    python -m recipes.base.convert_copies --cache CACHE --content third --decoder plain

Training on content of the copy and sound of the original removes the difference between training and use: what is left
of the speaker in the content then misleads instead of helping. Writes CACHE/runs/converted_DECODER.npy (float16).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from recipes.base.corpus import FRAME_16K, SINGING_SOURCES, Recordings, frames, moved, waves
from recipes.base.decoder_rendering import VoiceNetworks
from recipes.base.training import add_device, load_checkpoint, load_encoder, prepare_device
from timbre.config.fast import HOP_SAMPLES, N_FFT, SAMPLE_RATE_HZ
from timbre.dsp.frontend import SAMPLE_RATE_HZ as ENCODER_RATE_HZ
from timbre.models.fast.decoder import Timbre
from timbre.models.fast.synthesis import LOOKAHEAD_FRAMES, FastSynthesis
from timbre.speaker.fast import relative_log_mel

REFERENCE_FRAMES = 500


class Copier:
    """The networks so far, giving recordings the voice of other recordings."""

    def __init__(self, cache: Path, content: str, decoder: str, device: torch.device) -> None:
        self.recordings, self.device = Recordings(cache), device
        self.contents = np.load(cache / "runs" / f"contents_{content}.npy", mmap_mode="r")
        self.encoder, _ = load_encoder(cache, content, device)
        self.networks = VoiceNetworks().eval().to(device)
        self.networks.load_state_dict(load_checkpoint(cache / "runs" / f"decoder_{decoder}.pt")["averaged"])
        self.synthesis = FastSynthesis(N_FFT, HOP_SAMPLES, SAMPLE_RATE_HZ).to(device)
        self.rng = np.random.default_rng(7)

    def hear(self, start: int, n_frames: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return content [1, T, C], f0 [1, T], loudness [1, T] and log-mel [1, T, 80] of a stretch."""
        wave = waves(self.recordings.wave_16k, np.array([start]), n_frames, FRAME_16K, self.device)
        power = self.encoder.frontend.power(wave)
        content = frames(self.contents, np.array([start]), n_frames, self.device).float()
        f0 = frames(self.recordings.f0, np.array([start]), n_frames, self.device)
        return content, f0, self.encoder.frontend.loudness(power), self.encoder.frontend.log_mel(power)

    def timbre_of(self, file: int) -> tuple[Timbre, float]:
        """Return the timbre of a recording and its median pitch."""
        length = int(min(REFERENCE_FRAMES, self.recordings.n_frames[file]))
        content, f0, _, log_mel = self.hear(int(self.recordings.first_frame[file]), length)
        relative = relative_log_mel(log_mel)
        voiced = f0[f0 > 0]
        timbre = self.networks.decoder.timbre(self.networks.speaker(relative), content, f0, relative)
        return timbre, float(voiced.median()) if len(voiced) > 20 else 0.0

    @torch.inference_mode()
    def content_of_copy(self, file: int) -> np.ndarray:
        """Convert a recording to a random other speaker and return the content heard in the copy [T, C]."""
        recordings = self.recordings
        other = file
        while recordings.speaker_of[other] == recordings.speaker_of[file]:
            speaker = self.rng.integers(recordings.n_speakers)
            other = int(self.rng.choice(np.flatnonzero(recordings.speaker_of == speaker)))
        length = int(recordings.n_frames[file])
        with torch.autocast(self.device.type, torch.bfloat16):
            timbre, target_hz = self.timbre_of(other)
            content, f0, loudness, _ = self.hear(int(recordings.first_frame[file]), length)
            voiced = f0[f0 > 0]
            if target_hz and len(voiced) > 20:
                ratio = target_hz / float(voiced.median())
                if recordings.index[file]["source"] in SINGING_SOURCES:
                    ratio = 2.0 ** round(math.log2(ratio))
                f0 = f0 * ratio
            spectra = self.networks.decoder(content, f0, loudness, timbre)
        f0 = torch.cat((f0, f0[:, -1:].expand(1, LOOKAHEAD_FRAMES)), dim=1)
        noise = torch.randn(1, length, N_FFT // 2 + 1, 2, device=self.device)
        sound = self.synthesis(spectra, f0, noise)[0].cpu().numpy()
        narrow = soxr.resample(sound, SAMPLE_RATE_HZ, ENCODER_RATE_HZ, quality="MQ")[: length * FRAME_16K]
        narrow = np.pad(narrow, (0, length * FRAME_16K - len(narrow)))
        with torch.autocast(self.device.type, torch.bfloat16):
            frontend = self.encoder.frontend
            heard: Tensor = self.encoder(frontend.log_mel(frontend.power(moved(narrow[None], self.device))))
        return heard[0].float().cpu().numpy()


def main() -> None:
    """Copy the whole corpus once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--content", required=True)
    parser.add_argument("--decoder", required=True)
    add_device(parser)
    arguments = parser.parse_args()
    prepare_device(arguments.device, seed=7, threads=1)
    copier = Copier(arguments.cache, arguments.content, arguments.decoder, arguments.device)
    converted = np.zeros(copier.contents.shape, dtype=np.float16)
    for file, (start, length) in enumerate(zip(copier.recordings.first_frame, copier.recordings.n_frames, strict=True)):
        converted[start : start + length] = copier.content_of_copy(file)
        if file % 200 == 0:
            print(f"{file} of {len(copier.recordings.index)}", flush=True)
    np.save(arguments.cache / "runs" / f"converted_{arguments.decoder}.npy", converted)


if __name__ == "__main__":
    main()
