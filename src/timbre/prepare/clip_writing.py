"""Writes many stretches of one sound to files while it is heard once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from timbre.audio.sound import Samples
from timbre.audio.writer import AudioWriter
from timbre.errors import AudioError
from timbre.files.writing import made_folder
from timbre.prepare.slicing_plan import ClipFile


def write_clips(
    blocks: Iterable[Samples], clips: Sequence[ClipFile], sample_rate_hz: int, n_channels: int, *, force: bool
) -> list[int]:
    """Write each clip's samples of a sound that comes in blocks [C, N] at the clips' rate; clips may overlap.

    Each file appears when it is complete; when something fails, those begun are removed and those complete stay.
    Returns how many samples beyond full scale were limited in each clip where there were any. Raises AudioError where
    the sound ends before its clips, and OutputError as `AudioWriter`.
    """
    limited: list[int] = []
    waiting = sorted(clips, key=lambda clip: (clip.start, clip.end), reverse=True)
    with ExitStack() as folders:
        for folder in dict.fromkeys(clip.output.parent for clip in clips):
            folders.enter_context(made_folder(folder))
        with _removed_on_failure() as begun:
            done = 0
            for block in blocks:
                end = done + block.shape[1]
                while waiting and waiting[-1].start < end:
                    clip = waiting.pop()
                    writer = AudioWriter(clip.output, sample_rate_hz, n_channels, force=force, quiet=True)
                    begun[clip] = writer.__enter__()
                for clip, writer in list(begun.items()):
                    writer.write(block[:, max(0, clip.start - done) : clip.end - done])
                    if clip.end <= end:
                        begun.pop(clip).__exit__(None, None, None)
                        limited += [writer.clipped_samples] if writer.clipped_samples else []
                done = end
            for clip in (*begun, *waiting):
                raise AudioError(
                    f"{clip.source.name} has become shorter while it was cut; leave it alone and cut again"
                )
    return limited


@contextmanager
def _removed_on_failure() -> Iterator[dict[ClipFile, AudioWriter]]:
    """Give a place for open writers; when the block fails, all that are left there fail with it."""
    begun: dict[ClipFile, AudioWriter] = {}
    try:
        yield begun
    except BaseException:
        for writer in begun.values():
            writer.__exit__(*sys.exc_info())
        raise
