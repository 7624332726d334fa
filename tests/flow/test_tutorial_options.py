"""Each option of the so-vits-svc tutorial, given in its words: what it changes in the sound."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from tests.toy_index import flat_index
from tests.toys import glide
from tests.toys_sovits import CONFIG, DIFFUSION, RATE, WIDTH, make_tree, save_generator
from timbre.audio.reader import probe_audio
from timbre.cli.main import main
from timbre.cli.tutorial import OLD_OPTIONS
from timbre.pitch.pm import PmTracker
from timbre.pitch.trackers import is_installed
from timbre.retrieval.foreign_writing import pickled_indexes

Wave = np.ndarray
Change = Callable[[Wave, Wave], bool]
BRIEF_S, LONG_S = 0.3, 2.4


def level_db(sound: Wave) -> float:
    return float(10 * np.log10(np.mean(sound**2) + 1e-20))


def differ(before: Wave, after: Wave) -> bool:
    return level_db(after - before) > level_db(before) - 80


def same(before: Wave, after: Wave) -> bool:
    return np.array_equal(before, after)


def much_the_same(before: Wave, after: Wave) -> bool:
    return not differ(before, after)


def only_at_joins(before: Wave, after: Wave) -> bool:
    """Say whether sounds of clips of 1 s differ near a join and are alike elsewhere."""
    changed = np.flatnonzero(before != after)
    away = np.abs((changed / RATE + 0.5) % 1 - 0.5) > 0.3  # from a multiple of 1 s
    return bool(changed.size) and level_db((after - before)[changed[away]]) < level_db(before) - 45


def alike(before: Wave, after: Wave) -> bool:
    return not same(before, after) and level_db(after - before) < level_db(before) - 20


def a_fifth_higher(before: Wave, after: Wave) -> bool:
    low, high = (PmTracker().track(sound, RATE, 160).f0_hz for sound in (before, after))
    both = (low > 0) & (high > 0)
    return bool(abs(np.median(high[both] / low[both]) / 2 ** (7 / 12) - 1) < 0.01)


def as_loud_as_the_source(before: Wave, after: Wave) -> bool:
    wanted = level_db(glide(LONG_S, RATE))
    return abs(level_db(after) - wanted) < 1 < abs(level_db(before) - wanted)


def silent_in_the_middle(before: Wave, after: Wave) -> bool:
    middle = slice(int(1.1 * RATE), int(1.3 * RATE))
    return bool(before[middle].any()) and not after[middle].any()


@dataclass(frozen=True)
class Effect:
    """What an option does: how the sound changes when the words `more` follow the words `first`."""

    more: str
    change: Change = differ
    first: str = "-n brief -s alice"


WITH_DIFFUSION = "-n brief -s alice -shd -dm model_100.pt -dc config.yaml -ks 50"
RETRIEVING = "-n brief -s alice -cr 1 -cm k.pt"

EFFECTS: dict[str, list[Effect]] = {
    "-m": [Effect("-m G_2.pth")],
    "-c": [Effect("-c other.json")],
    "-n": [Effect("-n low")],
    "-t": [Effect("-t 7", a_fifth_higher, "-n long -s alice")],
    "-s": [Effect("-s björn")],
    "-cl": [Effect("-cl 1", alike, "-n long -s alice"), Effect("-cl 0", same)],
    "-lg": [Effect("-lg 0.4", only_at_joins, "-n long -s alice -cl 1"), Effect("-lg 0", same)],
    "-lgr": [Effect("-lgr 0.2", only_at_joins, "-n long -s alice -cl 1 -lg 0.4")],
    "-f0p": [Effect("-f0p dio"), Effect("-f0p pm", same)],
    "-fmp": [Effect("-fmp", first="-n brief -s alice -p 0"), Effect("-fmp", same, "-n brief -s alice -p 0 -f0p crepe")],
    "-ft": [Effect("-ft 0.99", first="-n brief -s alice -f0p fcpe")],
    "-a": [Effect("-a"), Effect("-t 7", much_the_same, "-n brief -s alice -a")],
    "-cm": [Effect("-cm k2.pt", first=RETRIEVING), Effect("-cm k.pt", same)],
    "-cr": [Effect("-cr 0.5", first=RETRIEVING), Effect("-cr 0", same)],
    "-fr": [Effect("-fr -cm i.pkl", first=RETRIEVING)],
    "-eh": [Effect("-eh")],
    "-eak": [Effect("-eak 5", first="-n brief -s alice -eh")],
    "-shd": [Effect("-shd", first="-n brief -s alice -dm model_100.pt -dc config.yaml -ks 50")],
    "-dm": [Effect("-dm model_200.pt", first=WITH_DIFFUSION)],
    "-dc": [Effect("-dc fast.yaml", first=WITH_DIFFUSION)],
    "-ks": [Effect("-ks 100", first=WITH_DIFFUSION)],
    "-od": [Effect("-od", first="-n brief -s alice -dm model_100.pt -dc config.yaml")],
    "-se": [Effect("-se", first=WITH_DIFFUSION)],
    "-usm": [Effect("-usm"), Effect("-usm alice=1,björn=0", much_the_same)],
    "-lea": [Effect("-lea 0", as_loud_as_the_source, "-n long -s alice"), Effect("-lea 1", same)],
    "-sd": [Effect("-sd -40", silent_in_the_middle, "-n faint -s alice -sd -70"), Effect("-sd -40", same)],
    "-d": [Effect("-d cpu", same)],
    "-ns": [Effect("-ns 2"), Effect("-ns 0.4", same)],
    "-p": [Effect("-p 0"), Effect("-p 0.5", same)],
    "-wf": [Effect("-wf wav", much_the_same), Effect("-wf ogg", alike, "-n long -s alice"), Effect("-wf flac", same)],
}


@dataclass
class Tutorial:
    """A folder of the tutorial's user, and what was sung there."""

    folder: Path
    sung: dict[tuple[str, str], Path] = field(default_factory=dict)

    def sing(self, first: str, more: str = "") -> Path:
        """Convert with the words `first`, of which those in `more` replace the ones of the same name."""
        if (first, more) not in self.sung:
            given = _by_name("-m G_1.pth -c config.json -t 0") | _by_name(first) | _by_name(more)
            words = [word for name, values in given.items() for word in (name, *values)]
            place = f"results {len(self.sung)}"
            assert main(["convert", *words, "-o", place, "--precision", "exact"]) == 0
            (self.sung[first, more],) = Path(place).iterdir()
        return self.sung[first, more]

    def hear(self, first: str, more: str = "") -> Wave:
        return soundfile.read(self.sing(first, more))[0]


def _by_name(line: str) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    for word in line.split():
        if word.startswith("-") and word.lstrip("-")[0].isalpha():
            given[word] = []
        else:
            given[next(reversed(given))].append(word)
    return given


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tutorial]:
    folder = tmp_path_factory.mktemp("tutorial")
    tree = make_tree(folder / "tree")
    for name, path in {"G_1.pth": tree.model, "model_100.pt": tree.diffusion, "k.pt": tree.kmeans}.items():
        path.rename(folder / name)
    for path in (tree.config, tree.diffusion_config, tree.pretrain):
        path.rename(folder / path.name)
    write_others(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield Tutorial(folder)


def write_others(folder: Path) -> None:
    """Write what the options choose among."""
    save_generator(folder / "G_2.pth", CONFIG, seed=1)
    other = copy.deepcopy(CONFIG)
    other["model"]["sampling_rate"] = 22_050
    (folder / "other.json").write_text(json.dumps(other), encoding="utf-8")
    diffusion = torch.load(folder / "model_100.pt", weights_only=True)
    diffusion["model"]["unit_embed.weight"] *= -1
    torch.save(diffusion, folder / "model_200.pt")
    fast = DIFFUSION | {"infer": {"speedup": 2, "method": "ddim"}}
    (folder / "fast.yaml").write_text(yaml.safe_dump(fast), encoding="utf-8")
    rows = torch.randn(12, WIDTH, generator=torch.Generator().manual_seed(8))
    entry = {"n_features_in_": WIDTH, "_n_threads": 1, "cluster_centers_": rows.numpy()}
    torch.save({"alice": entry}, folder / "k2.pt")
    (folder / "i.pkl").write_bytes(pickled_indexes({0: flat_index(rows)}))
    tracks = {"alice": [[0, 1, 1, 0]], "björn": [[0, 1, 0, 1]]}
    (folder / "spkmix.json").write_text(json.dumps(tracks), encoding="utf-8")
    (folder / "raw").mkdir()
    faint = glide(LONG_S, RATE)
    faint[int(0.7 * RATE) : int(1.7 * RATE)] *= 0.02
    sounds = {"brief": glide(BRIEF_S, RATE), "low": glide(BRIEF_S, RATE, 150, 120), "long": glide(LONG_S, RATE)}
    for name, sound in (sounds | {"faint": faint}).items():
        soundfile.write(folder / "raw" / f"{name}.wav", sound, RATE)


def test_every_option_is_here() -> None:
    assert set(EFFECTS) == {old.short for old in OLD_OPTIONS}


@pytest.mark.parametrize(
    "effect", [pytest.param(effect, id=f"{effect.first} {effect.more}") for each in EFFECTS.values() for effect in each]
)
def test_what_it_changes(tutorial: Tutorial, effect: Effect) -> None:
    for words, tracker in (("-f0p dio", "dio"), ("-f0p fcpe", "fcpe"), ("-fmp", "crepe")):
        if words in f"{effect.first} {effect.more}" and not is_installed(tracker):
            pytest.skip(f"the pitch tracker {tracker} is not installed")
    before, after = tutorial.hear(effect.first), tutorial.hear(effect.first, effect.more)
    assert len(before) == len(after) and before.any()
    assert effect.change(before, after)


def test_every_long_name_is_the_short_one(tutorial: Tutorial) -> None:
    long = {"-s": "--spk_list", "-t": "--trans", "-ns": "--noice_scale", "-p": "--pad_seconds", "-n": "--clean_names"}
    words = {"-n": "brief", "-s": "alice", "-t": "3", "-ns": "1", "-p": "0.2"}
    short_line, long_line = (
        " ".join(f"{name} {value}" for name, value in names)
        for names in (words.items(), ((long[short], value) for short, value in words.items()))
    )
    np.testing.assert_array_equal(tutorial.hear(long_line), tutorial.hear(short_line))


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_the_format(tutorial: Tutorial, format: str) -> None:
    info = probe_audio(tutorial.sing("-n brief -s alice", f"-wf {format}"))
    assert info.format == format
