"""Imports go down the steps only; see docs/ARCHITECTURE.md for the table."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

STEPS = [
    {"errors"},
    {"config", "files"},
    {"audio", "dsp", "weights"},
    {"nn"},
    {"content", "pitch", "speaker", "models.vits", "models.diffusion", "models.fast", "vocoder", "retrieval"},
    {"features"},
    {"voice", "dataset"},
    {"prepare", "train", "convert", "stream", "export", "evaluate", "doctor"},
    {"serve"},
    {"cli"},
    {"<root>"},  # timbre/__init__.py, which offers the public names, and __main__.py
]
STEP_OF = {room: step for step, rooms in enumerate(STEPS) for room in rooms}
ALSO_ALLOWED = {("train", "evaluate"), ("doctor", "convert")}
NEVER_ALLOWED = {("serve", process) for process in STEPS[7] - {"convert", "stream"}}
FACTORY = re.compile(r"timbre(?:\.\w+)+:\w+")


def room_of(module: str) -> str:
    """Return the room of a dotted module name below `timbre`; models has one room for each family."""
    parts = module.split(".")[1:]
    if parts[:1] == ["models"]:
        return ".".join(parts[:2])
    return parts[0] if parts and parts[0] != "__main__" else "<root>"


def imported_modules(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    """Yield every module of timbre named by an import anywhere in the file, or by a "module:name" text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            base = parts[: len(parts) - node.level + is_package] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            if origin in ("timbre", "timbre.models"):  # the names may be rooms
                yield from (f"{origin}.{alias.name}" for alias in node.names if alias.name != "__version__")
            else:
                yield origin
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and FACTORY.fullmatch(node.value):
            yield node.value.partition(":")[0]


def forbidden_arrows(source: Path) -> list[str]:
    """Return "file: room -> room" for each import under `source`/timbre that the table does not allow."""
    wrong = []
    for path in sorted((source / "timbre").rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        here = room_of(module)
        for target in imported_modules(ast.parse(path.read_text(encoding="utf-8")), module, is_package=is_package):
            if target.split(".")[0] == "timbre" and not is_allowed(here, room_of(target)):
                wrong.append(f"{module}: {here} -> {room_of(target)}")
    return wrong


def is_allowed(here: str, there: str) -> bool:
    """Say whether room `here` may import room `there`; an unknown room may do nothing."""
    if here == there:
        return True
    if here not in STEP_OF or there not in STEP_OF or (here, there) in NEVER_ALLOWED:
        return False
    return STEP_OF[there] < STEP_OF[here] or (here, there) in ALSO_ALLOWED


def test_imports_go_down_the_steps_only(repository: Path) -> None:
    assert forbidden_arrows(repository / "src") == []


@pytest.mark.parametrize(
    ("file", "text", "arrow"),
    [
        ("audio/a.py", "import timbre.dsp.mel", "audio -> dsp"),
        ("pitch/a.py", "from timbre.content import fast", "pitch -> content"),
        ("pitch/a.py", "from timbre import content", "pitch -> content"),
        ("models/vits/a.py", "from timbre.models.fast import decoder", "models.vits -> models.fast"),
        ("models/vits/a.py", "from timbre.models import fast", "models.vits -> models.fast"),
        ("models/vits/a.py", "from ..fast import decoder", "models.vits -> models.fast"),
        ("models/vits/__init__.py", "from ..fast import decoder", "models.vits -> models.fast"),
        ("config/a.py", "def f():\n    from timbre.cli import main", "config -> cli"),
        ("nn/a.py", "if TYPE_CHECKING:\n    from timbre.voice.voice import Voice", "nn -> voice"),
        ("pitch/a.py", "FACTORY = 'timbre.voice.catalog:load_voice'", "pitch -> voice"),
        ("serve/a.py", "import timbre.train.loop", "serve -> train"),
        ("convert/a.py", "import timbre.evaluate.report", "convert -> evaluate"),
        ("voice/a.py", "import timbre", "voice -> <root>"),
        ("novelty/a.py", "import timbre.errors", "novelty -> errors"),
    ],
)
def test_forbidden_arrow_is_found(tmp_path: Path, file: str, text: str, arrow: str) -> None:
    path = tmp_path / "timbre" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    found = forbidden_arrows(tmp_path)
    assert [line.partition(": ")[2] for line in found] == [arrow]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("voice/a.py", "from timbre import __version__"),
        ("train/a.py", "from timbre.evaluate.report import evaluate_triple"),
        ("doctor/a.py", "from timbre.convert.files import convert_files"),
        ("serve/a.py", "from timbre.convert.files import convert_files"),
        ("models/fast/a.py", "import torch\nfrom .decoder import x\nfrom timbre.nn.conv import Conv"),
    ],
)
def test_allowed_arrow_passes(tmp_path: Path, file: str, text: str) -> None:
    path = tmp_path / "timbre" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert forbidden_arrows(tmp_path) == []


def test_document_names_every_room(repository: Path) -> None:
    text = (repository / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| \d \|", line)]
    documented = [set(re.findall(r"`([\w.]+)`", row.split("|")[2])) for row in rows]
    assert documented == STEPS[:-1]
