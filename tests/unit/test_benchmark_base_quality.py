"""What the benchmark of the base prints; what it measures with is tested where it lives."""

from pathlib import Path

import pytest

from benchmarks import base_quality
from benchmarks.encoder_quality import COLUMNS
from benchmarks.quality.held_out import Pair
from timbre.evaluate.summary import MeanInterval

PAIRS = [
    Pair("a -> b", "english", Path("a"), (Path("b"),)),
    Pair("b -> a", "english", Path("b"), (Path("a"),)),
    Pair("song -> a", "sung", Path("song"), (Path("a"),)),
]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stand for the conversions and the probes: likeness 0.2 times the place of the pair."""

    def measure(system: object, pair: Pair, pages: object) -> dict[str, float | None]:
        return {"similarity_to_target": 0.2 * PAIRS.index(pair), "word_disagreement": None if pair.sung else 0.5}

    (tmp_path / "manifest.csv").touch()
    monkeypatch.setenv("TIMBRE_DATA", str(tmp_path))
    monkeypatch.setattr(base_quality, "held_out_pairs", lambda data: PAIRS)
    monkeypatch.setattr(base_quality, "measure", measure)
    row = dict.fromkeys(COLUMNS, MeanInterval(0.9, 0.8, 1.0, 7))
    monkeypatch.setattr(base_quality.encoder_quality, "run", lambda data, base, seed: {f"encoder of {base}": row})


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr("sys.argv", ["base_quality", *arguments])
    base_quality.main()
    return capsys.readouterr().out


@pytest.mark.usefixtures("measured")
def test_every_number_has_its_interval(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(monkeypatch, capsys, "--rows", "floor")
    tables = [part.splitlines() for part in out.strip().split("\n\n")]
    assert [lines[0].split(":")[0] for lines in tables] == ["english", "sung", "all"]
    assert "| 0.100 [0.000, 0.200] |" in tables[0][-1] and "| 0.500 [0.500, 0.500] |" in tables[0][-1]
    assert "| 0.400 [0.400, 0.400] |" in tables[1][-1]


@pytest.mark.usefixtures("measured")
def test_the_probes_come_with_one_flag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert "encoder" not in printed(monkeypatch, capsys, "--rows", "floor")
    out = printed(monkeypatch, capsys, "--rows", "floor", "--encoder")
    assert "| encoder of None | 0.900 [0.800, 1.000] |" in out


@pytest.mark.usefixtures("measured")
def test_pages_need_their_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="add it to --rows"):
        printed(monkeypatch, capsys, "--rows", "floor", "--pages", "pages")


def test_absent_recordings_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TIMBRE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match="2"):
        printed(monkeypatch, capsys)
    assert "holds no manifest.csv; give the recordings" in capsys.readouterr().err
