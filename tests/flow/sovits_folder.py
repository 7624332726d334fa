"""A folder to work in beside the files of a so-vits-svc user."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import soundfile

from tests.flow.command import Outcome, WorkFolder
from tests.toys_sovits import SovitsTree


class SovitsFolder(WorkFolder):
    """A folder to work in, the command, and the files of a so-vits-svc user."""

    def __init__(self, work: WorkFolder, tree: SovitsTree) -> None:
        super().__init__(work.folder, work.capsys)
        self.tree_of_files = tree

    @property
    def voices(self) -> Path:
        """Where imported voices are kept."""
        return self.folder / "voices"

    def own_tree(self) -> SovitsTree:
        """Copy the files into this folder, for a test to change."""
        return SovitsTree(Path(shutil.copytree(self.tree_of_files.root, self.folder / "svc")))

    def import_all(self, name: str = "alice", *words: object, tree: SovitsTree | None = None) -> Outcome:
        """Import main model, diffusion model and clusters (the vocoder is found) as the voice `name`."""
        tree = tree or self.tree_of_files
        files = ("--model", tree.model, "--diffusion-model", tree.diffusion, "--cluster", tree.kmeans)
        return self.run("voice", "import", *files, "--name", name, *words)

    def sing_with(self, *words: object, speaker: str | None = "alice") -> np.ndarray:
        """Convert a short sound and return the result; the words name the voice."""
        source, target = self.folder / "song.wav", self.folder / "sung.wav"
        if not source.exists():
            self.sing("song.wav")
        chosen = () if speaker is None else ("--speaker", speaker)
        outcome = self.run(
            "convert", source, "-o", target, "--force", "--pitch", "pm", "--pitch-shift", "0", *chosen, *words
        )
        assert outcome.code == 0, outcome.err
        samples, _ = soundfile.read(target, dtype="float32")
        assert np.abs(samples).max() > 0.01
        return np.asarray(samples)
