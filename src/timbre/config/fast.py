"""The sizes of the networks of the fast family; they are saved beside the weights they belong to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from timbre.errors import VoiceError

HOP_SAMPLES = 441
SAMPLE_RATE_HZ = 44_100
N_FFT = 1024


@dataclass(frozen=True)
class ContentShape:
    """Arguments of `timbre.content.fast.FastContentEncoder`."""

    width: int = 288
    inner_width: int = 416
    kernels: tuple[int, ...] = (5, 5, 5, 3, 3, 3, 3)
    dilations: tuple[int, ...] = (1, 1, 2, 1, 2, 4, 8)
    lookaheads: tuple[int, ...] = (2, 1, 0, 0, 0, 0, 0)
    content_channels: int = 96


@dataclass(frozen=True)
class SpeakerShape:
    """Arguments of `timbre.speaker.fast.FastSpeakerEncoder`."""

    width: int = 144
    inner_width: int = 192
    n_blocks: int = 3
    speaker_channels: int = 128


@dataclass(frozen=True)
class DecoderShape:
    """Arguments of `timbre.models.fast.decoder.FastDecoder`."""

    content_channels: int = 96
    speaker_channels: int = 128
    width: int = 320
    inner_width: int = 448
    dilations: tuple[int, ...] = (1, 1, 2, 1, 2, 4, 1)
    bank_width: int = 256
    bank_heads: int = 4
    n_bins: int = N_FFT // 2 + 1


@dataclass(frozen=True)
class FastShape:
    """Sizes of all networks of one base."""

    content: ContentShape = ContentShape()
    speaker: SpeakerShape = SpeakerShape()
    decoder: DecoderShape = DecoderShape()

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> FastShape:
        """Read back what `to_mapping` wrote; raises VoiceError for anything else."""
        parts = {"content": ContentShape, "speaker": SpeakerShape, "decoder": DecoderShape}
        try:
            return cls(**{name: _shape(kind, values[name]) for name, kind in parts.items()})
        except (KeyError, TypeError) as error:
            raise VoiceError(
                f"the voice's network sizes cannot be read ({error}); its voice.json is damaged"
            ) from error


def _shape(kind: Any, values: dict[str, Any]) -> Any:
    unknown = set(values) - {field.name for field in fields(kind)}
    if unknown:
        raise TypeError(f"unknown sizes: {', '.join(sorted(unknown))}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
