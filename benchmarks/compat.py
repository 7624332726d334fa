"""Processor time and memory of so-vits-svc voices: exact, fast, and a plain eager variant of the same networks.

    python -m benchmarks.compat [--seconds 10] [--long 60 120 300]

Full-size default configuration with random weights, one thread, processor seconds per second of sound, best of three.
"Plain" is the same code as it is trained: weight norm computed at each call, nothing in blocks. All variants run in
this process on the same input; the memory of long sounds is measured in a process of its own for each.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import timbre
from benchmarks.conditions import conditions
from benchmarks.conversion import memory_mb
from benchmarks.full_size import HOP, RATE, make_weights, save_model
from timbre.convert.arrays import LoadedVoice
from timbre.models.vits.state import load_state
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.draws import SeededDraws
from timbre.nn.nsf_generator import NsfGenerator

REPEATS = 3


def best(work: Callable[[], object], seconds: float) -> float:
    """Return the least processor time of a few runs, per second of sound."""
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times) / seconds


def matrix_speed(number_type: torch.dtype) -> float:
    """Return the floating point operations per second of one thread in a large matrix product."""
    one = torch.randn(1024, 1024).to(number_type)
    return 2 * 1024**3 / best(lambda: one @ one, 1.0)


def unbroken(seconds: float) -> np.ndarray:
    """Return singing without a pause, so that nothing can be skipped or cut at silence [N]."""
    time_s = np.arange(int(seconds * RATE)) / RATE
    frequency = 220 * 2 ** (0.3 * np.sin(2 * np.pi * 0.21 * time_s) + 0.02 * np.sin(2 * np.pi * 5.5 * time_s))
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    return np.asarray(0.1 * sum(np.sin(k * phase) / k for k in range(1, 12)), dtype=np.float32)


def without_offset(wave: np.ndarray) -> np.ndarray:
    """Take out the slow offset that random weights leave, which would flatter a comparison [N]."""
    kernel = np.hanning(RATE // 20)
    return (wave - np.convolve(wave, kernel / kernel.sum(), mode="same")).astype(np.float32)


def signal_to_difference_db(exact: np.ndarray, other: np.ndarray) -> float:
    """Return how far a difference lies below the sound, both without their slow offset [N]."""
    exact, other = without_offset(exact), without_offset(other)
    return 10 * math.log10(float(np.mean(exact**2) / np.mean((exact - other) ** 2)))


def load(folder: Path) -> LoadedVoice:
    """Load the voice of `folder`, with everything it may need."""
    return timbre.load_sovits_voice(
        model=folder / "G_100.pth",
        diffusion_model=folder / "model_0.pt",
        vocoder=folder / "nsf_hifigan",
        weights_dir=folder,
    )


def settings(folder: Path, precision: str, **changes: object) -> timbre.ConvertSettings:
    """Return the settings of a conversion with rmvpe."""
    return timbre.ConvertSettings.from_mapping(
        {"weights_dir": str(folder), "pitch": "rmvpe", "precision": precision, **changes}
    )


def plain_synthesizer(voice: LoadedVoice) -> Synthesizer:
    """Build the main model as it is trained."""
    sovits = voice.voice
    model = Synthesizer(sovits.shape)  # type: ignore[union-attr, arg-type]
    load_state(model, sovits.parts.model.tensors)  # type: ignore[union-attr]
    for part in model.modules():
        if isinstance(part, NsfGenerator):
            part.blockwise = False
    return model.eval()


def synthesizer_rows(folder: Path, seconds: float) -> dict[str, float]:
    """Measure the main model alone."""
    n_frames = int(seconds * RATE / HOP)
    generator = torch.Generator().manual_seed(0)
    units = torch.randn(1, 768, n_frames, generator=generator)
    f0_hz = 200 + 50 * torch.rand(1, n_frames, generator=generator)
    voiced, speaker = torch.ones(1, n_frames), torch.tensor([0])

    def infer(model: Synthesizer) -> Tensor:
        return model.infer(units, f0_hz, voiced, speaker, SeededDraws(0))[0]

    voice = load(folder)
    exact = voice.voice.networks(settings(folder, "exact")).synthesizer  # type: ignore[union-attr]
    plain = plain_synthesizer(voice)
    rows = {
        "plain": best(lambda: infer(plain), seconds),
        "exact": best(lambda: infer(exact), seconds),
    }
    fast = load(folder).voice.networks(settings(folder, "fast")).synthesizer  # type: ignore[union-attr]
    return rows | {"fast": best(lambda: infer(fast), seconds)}


def encoder_rows(folder: Path, seconds: float) -> dict[str, float]:
    """Measure the content encoder alone."""
    wave = torch.from_numpy(unbroken(seconds)[:: RATE // 16_000][: int(seconds * 16_000)].copy())
    rows = {}
    for precision in ("exact", "fast"):
        encoder = load(folder).voice.extractor(settings(folder, precision)).encoder  # type: ignore[union-attr]
        rows[precision] = best(lambda encoder=encoder: encoder.encode(wave), seconds)
    return rows


def conversion_rows(folder: Path, seconds: float, **changes: object) -> dict[str, float]:
    """Measure whole conversions, and how far the fast result is from the exact one."""
    wave, rows, results = unbroken(seconds), {}, {}
    for precision in ("exact", "fast"):
        voice, chosen = load(folder), settings(folder, precision, **changes)
        results[precision] = voice.convert(wave, RATE, chosen)
        rows[precision] = best(lambda voice=voice, chosen=chosen: voice.convert(wave, RATE, chosen), seconds)
    return rows | {"difference_db": signal_to_difference_db(results["exact"], results["fast"])}


def measure_long(folder: Path, seconds: float, precision: str) -> None:
    """Print processor seconds per second and memory above the loaded process (run in a process of its own)."""
    torch.set_num_threads(1)
    voice, chosen = load(folder), settings(folder, precision)
    voice.convert(unbroken(2.0), RATE, chosen)
    wave = unbroken(seconds)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    loaded_mb, started = memory_mb("VmRSS"), time.process_time()
    voice.convert(wave, RATE, chosen)
    print(f"{(time.process_time() - started) / seconds:.3f} {memory_mb('VmHWM') - loaded_mb:.0f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--long", type=float, nargs="*", default=[60.0, 120.0, 300.0])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        folder, seconds, precision = arguments.one
        measure_long(Path(folder), float(seconds), precision)
        return
    torch.set_num_threads(1)
    print(conditions())
    speeds = {name: matrix_speed(kind) / 1e12 for name, kind in (("float32", torch.float32), ("bf16", torch.bfloat16))}
    print("matrix product, one thread: " + ", ".join(f"{name} {speed:.2f} TFLOP/s" for name, speed in speeds.items()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "voice"
        make_weights(folder)
        save_model(folder, {})
        tables = {
            "synthesizer": synthesizer_rows(folder, arguments.seconds),
            "content encoder": encoder_rows(folder, arguments.seconds),
            "conversion, rmvpe": conversion_rows(folder, arguments.seconds),
            "the same with shallow diffusion": conversion_rows(folder, arguments.seconds, shallow_diffusion=True),
        }
        for row, values in tables.items():
            shown = ", ".join(
                f"{variant} {value:.3f}" for variant, value in values.items() if variant != "difference_db"
            )
            ratio = values.get("plain", values["exact"]) / values["fast"]
            told = f", fast {values['difference_db']:.1f} dB from exact" if "difference_db" in values else ""
            print(f"{row:<32} {shown}; {ratio:.1f} times faster{told}")
        for seconds in arguments.long:
            for precision in ("exact", "fast"):
                words = [sys.executable, "-m", "benchmarks.compat", "--one", str(folder), str(seconds), precision]
                spent, memory = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
                facts = f"{spent} CPU s per s, {memory} MB above the loaded process"
                print(f"{seconds:.0f} s unbroken, {precision:<6} {facts}")


if __name__ == "__main__":
    main()
