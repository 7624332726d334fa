"""Small files that are told to be weights of some kind by the names in them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file

NAMES = {
    "rmvpe": ("unet.encoder.layers.0.weight", "fc.0.weight"),
    "fairseq": ("feature_extractor.conv_layers.0.0.weight", "encoder.layers.0.self_attn.q_proj.weight"),
    "wavlm": ("encoder.layers.0.attention.gru_rel_pos_linear.weight",),
    "crepe": ("conv1_BN.weight", "classifier.weight"),
}


def save_kind(path: Path, kind: str, value: float = 0.0) -> Path:
    """Write a file that is told to be of this kind; another `value` makes another file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: torch.full((2,), value) for name in NAMES[kind]}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"model": tensors}, path)
    return path


def save_vocoder_folder(folder: Path, value: float = 0.0) -> Path:
    """Write a folder that is told to be an NSF-HiFiGAN vocoder, with a notice and something large beside it."""
    folder.mkdir(parents=True)
    torch.save({"generator": {"m_source.l_linear.weight": torch.full((2,), value)}}, folder / "model")
    (folder / "config.json").write_text("{}")
    (folder / "NOTICE.txt").write_text("made by somebody")
    (folder / "samples.wav").write_bytes(bytes(100))
    return folder


def zip_folder(folder: Path, path: Path) -> Path:
    """Pack everything below `folder` into a zip archive."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path
