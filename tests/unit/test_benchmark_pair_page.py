"""The pictures of the held-out pairs."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.held_out import Pair
from benchmarks.quality.pair_page import Pages, describe, mel_picture
from timbre.evaluate.waves import MonoWave

RATE_HZ = 16_000


def tone(hz: float, seconds: float = 0.5) -> MonoWave:
    return MonoWave(np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ).astype(np.float32), RATE_HZ)


def test_a_tone_is_bright_at_its_own_frequency() -> None:
    picture, centres_hz = mel_picture(tone(1500.0))
    assert picture.shape == (128, 51) and picture.max() == 0.0 and picture.min() == -70.0
    assert np.all(np.diff(centres_hz) > 0)
    assert centres_hz[picture[:, 25].argmax()] == pytest.approx(1500.0, rel=0.03)


def test_only_measures_that_there_are_are_told() -> None:
    numbers = {"similarity_to_target": 0.812, "word_disagreement": None, "shift_semitones": -2.94, "clicks": 0.0}
    assert describe(numbers) == "like the wanted voice 0.81 of 1, melody moved by -2.9 semitones"


def test_pages_are_pictures_and_a_list(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    pages = Pages(tmp_path / "pages")
    silence = MonoWave(np.zeros(4000, dtype=np.float32), RATE_HZ)
    pages.add(Pair("one -> <two>", "sung", Path("a"), ()), tone(200.0), tone(300.0, 0.7), tone(220.0), {})
    pages.add(Pair("two -> one", "english", Path("b"), ()), silence, tone(300.0), silence, {"word_disagreement": 0.5})
    names = sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert names == ["01.png", "02.png", "index.html"]
    for name in names[:2]:
        assert (tmp_path / "pages" / name).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")
    assert "one -&gt; &lt;two&gt; (sung)" in page and "words heard differently 50%" in page
    assert page.index('src="01.png"') < page.index('src="02.png"')
