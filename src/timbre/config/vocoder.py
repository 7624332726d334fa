"""What the config.json of an NSF-HiFiGAN vocoder says about its shape (models spec 10.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timbre.config.json_object import JsonObject
from timbre.errors import SettingsError

_ADVICE = "use the config.json that came with the NSF-HiFiGAN vocoder"


@dataclass(frozen=True)
class VocoderShape:
    """All that is needed to build the vocoder and to make the mel spectrogram it hears.

    Raises SettingsError for sizes that cannot go together.
    """

    sample_rate_hz: int
    hop_samples: int
    n_fft: int
    window_samples: int
    n_mels: int
    low_hz: float
    high_hz: float
    upsample_rates: tuple[int, ...]
    upsample_kernel_sizes: tuple[int, ...]
    upsample_initial_channel: int
    resblock: str  # "1" or "2"
    resblock_kernel_sizes: tuple[int, ...]
    resblock_dilation_sizes: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if self.hop_samples != math.prod(self.upsample_rates):
            raise SettingsError(
                f"config.json says hop_size {self.hop_samples} but upsample_rates multiply to "
                f"{math.prod(self.upsample_rates)}; {_ADVICE}"
            )
        if not self.hop_samples <= self.window_samples <= self.n_fft:
            raise SettingsError(
                f"config.json says hop_size {self.hop_samples}, win_size {self.window_samples} and n_fft {self.n_fft}; "
                f"none may be above the next: {_ADVICE}"
            )
        if not 0 <= self.low_hz < self.high_hz <= self.sample_rate_hz / 2:
            raise SettingsError(
                f"config.json says fmin {self.low_hz:g} and fmax {self.high_hz:g}; they must rise within 0 to half "
                f"the sampling_rate, {self.sample_rate_hz / 2:g} Hz: {_ADVICE}"
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> VocoderShape:
        """Read the object of a config.json; unknown keys are ignored.

        Raises SettingsError when a key is missing, a value is of the wrong type or impossible, or the vocoder is of
        the later kind PC-NSF-HiFiGAN, which is another network.
        """
        values = JsonObject.of(config, "config.json", _ADVICE)
        for key in ("mini_nsf", "noise_sigma"):
            if config.get(key):
                raise SettingsError(
                    f"config.json says {key} is {config[key]!r}, as in PC-NSF-HiFiGAN vocoders, which are not "
                    "supported; use an NSF-HiFiGAN vocoder, such as the release of February 2024"
                )
        return cls(
            sample_rate_hz=values.whole("sampling_rate"),
            hop_samples=values.whole("hop_size"),
            n_fft=values.whole("n_fft"),
            window_samples=values.whole("win_size"),
            n_mels=values.whole("num_mels"),
            low_hz=values.number("fmin"),
            high_hz=values.number("sampling_rate") / 2 if config.get("fmax") is None else values.number("fmax"),
            upsample_rates=values.wholes("upsample_rates"),
            upsample_kernel_sizes=values.wholes("upsample_kernel_sizes"),
            upsample_initial_channel=values.whole("upsample_initial_channel"),
            resblock="1" if values.required("resblock") == "1" else "2",
            resblock_kernel_sizes=values.wholes("resblock_kernel_sizes"),
            resblock_dilation_sizes=values.lists_of_wholes("resblock_dilation_sizes"),
        )


USUAL_VOCODER = VocoderShape(
    sample_rate_hz=44_100,
    hop_samples=512,
    n_fft=2048,
    window_samples=2048,
    n_mels=128,
    low_hz=40.0,
    high_hz=16_000.0,
    upsample_rates=(8, 8, 2, 2, 2),
    upsample_kernel_sizes=(16, 16, 4, 4, 4),
    upsample_initial_channel=512,
    resblock="1",
    resblock_kernel_sizes=(3, 7, 11),
    resblock_dilation_sizes=((1, 3, 5), (1, 3, 5), (1, 3, 5)),
)
"""The 44.1 kHz vocoder that diffusion models of so-vits-svc are trained for."""
