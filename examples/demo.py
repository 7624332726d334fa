"""Convert the two demo phrases into the first two packaged voices and say where the results are.

python examples/demo.py [FOLDER]        (default: demo)
"""

from __future__ import annotations

import sys
from pathlib import Path

import timbre
from timbre.cli.main import main as run_timbre

EXAMPLES = Path(__file__).parent
N_VOICES = 2


def main(folder: Path) -> int:
    """Convert spoken.flac and sung.flac into both voices and return the exit code."""
    sources = [str(EXAMPLES / "spoken.flac"), str(EXAMPLES / "sung.flac")]
    names = [card.name for card in timbre.list_voices()][:N_VOICES]
    if len(names) < N_VOICES:
        sys.exit(f"the demo needs {N_VOICES} packaged voices; this installation has: {', '.join(names) or 'none'}")
    for name in names:
        code = run_timbre(["convert", *sources, "--voice", name, "-o", f"{folder}/", "--force"])
        if code:
            return code
    sys.stdout.write(f"Listen: the sources are in {EXAMPLES}, the converted phrases in {folder.resolve()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo")))
