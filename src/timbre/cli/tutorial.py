"""The words of the so-vits-svc tutorial for `timbre convert`, turned into this program's own (pipeline spec 6.8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbre.audio.listing import AUDIO_SUFFIXES
from timbre.errors import SettingsError
from timbre.voice.card import safe_name

SOURCES_FOLDER, RESULTS_FOLDER = Path("raw"), Path("results")
CLUSTERS_FILE, INDEX_FILE = Path("logs/44k/kmeans_10000.pt"), Path("logs/44k/feature_and_index.pkl")
DIFFUSION_FILE = Path("logs/44k/diffusion/model_0.pt")
MIX_FILE, MIX_SCRIPT = Path("spkmix.json"), Path("spkmix.py")
_FORMAT = "flac"
_OUTPUT_NAMES = ("-o", "--output")


@dataclass(frozen=True)
class OldOption:
    """One option of the tutorial's inference command."""

    short: str
    long: tuple[str, ...]
    new: str  # the option of `timbre convert`
    meaning: str
    takes: str = "value"  # "flag", "value", "list", or "table" for a speaker mix that may be left out

    @property
    def names(self) -> tuple[str, ...]:
        """All its spellings."""
        return (self.short, *self.long)


OLD_OPTIONS = (
    OldOption("-m", ("--model_path",), "--model", "main model, G_*.pth"),
    OldOption("-c", ("--config_path",), "--config", "its config.json"),
    OldOption("-n", ("--clean_names",), "SOURCE", "recordings; names without a folder are looked for in raw/", "list"),
    OldOption("-t", ("--trans",), "--pitch-shift", "semitones, one for each recording or one for all", "list"),
    OldOption("-s", ("--spk_list",), "--speaker", "target speakers; each recording is converted to each", "list"),
    OldOption("-cl", ("--clip",), "--max-chunk-s", "longest stretch rendered at once, in seconds; 0: the default"),
    OldOption("-lg", ("--linear_gradient",), "--overlap-s", "overlap of such stretches in seconds; 0: the default"),
    OldOption("-lgr", ("--linear_gradient_retain",), "--overlap-retain", "share of the overlap in which it fades"),
    OldOption("-f0p", ("--f0_predictor",), "--pitch", "pitch tracker"),
    OldOption("-fmp", ("--f0_mean_pooling",), "--pitch", "the same as -f0p crepe, from 4.0", "flag"),
    OldOption("-ft", ("--f0_filter_threshold",), "--voiced-threshold", "confidence from which a frame is voiced"),
    OldOption("-a", ("--auto_predict_f0",), "--predict-pitch", "the voice chooses its own melody", "flag"),
    OldOption("-cm", ("--cluster_model_path",), "--cluster", "cluster centres, or with -fr a feature index (--index)"),
    OldOption("-cr", ("--cluster_infer_ratio",), "--retrieval-ratio", "share of the retrieved content"),
    OldOption("-fr", ("--feature_retrieval",), "--retrieval", "retrieve from a feature index: that of -cm", "flag"),
    OldOption("-eh", ("--enhance",), "--enhance", "enhancer", "flag"),
    OldOption("-eak", ("--enhancer_adaptive_key",), "--enhancer-key", "key of the enhancer in semitones"),
    OldOption("-shd", ("--shallow_diffusion",), "--shallow-diffusion", "shallow diffusion", "flag"),
    OldOption("-dm", ("--diffusion_model_path",), "--diffusion-model", "diffusion model, model_*.pt"),
    OldOption("-dc", ("--diffusion_config_path",), "--diffusion-config", "its yaml"),
    OldOption("-ks", ("--k_step",), "--diffusion-steps", "depth of shallow diffusion"),
    OldOption("-od", ("--only_diffusion",), "--only-diffusion", "the diffusion model alone", "flag"),
    OldOption("-se", ("--second_encoding",), "--second-encoding", "encode again before shallow diffusion", "flag"),
    OldOption("-usm", ("--use_spk_mix",), "--speaker-mix", "mix speakers, by default as spkmix.json says", "table"),
    OldOption("-lea", ("--loudness_envelope_adjustment",), "--loudness-envelope", "1 own loudness, 0 the source's"),
    OldOption("-sd", ("--slice_db",), "--slice-threshold-db", "level of silence in dB; the tutorial's default is -40"),
    OldOption("-d", ("--device",), "--device", "where to compute"),
    OldOption("-ns", ("--noice_scale", "--noise_scale"), "--noise-scale", "how much the voice varies by chance"),
    OldOption("-p", ("--pad_seconds",), "--context-s", "sound heard around a stretch, in seconds"),
    OldOption("-wf", ("--wav_format",), "--format", "format of the result; the tutorial's default is flac"),
)
_BY_NAME = {name: option for option in OLD_OPTIONS for name in option.names}


@dataclass
class _Request:
    """What was asked in the tutorial's words, and the words that were not its."""

    given: dict[str, list[str]]  # by short name
    other: list[str]

    def value(self, short: str, default: str = "") -> str:
        return self.given[short][0] if self.given.get(short) else default

    def has(self, short: str) -> bool:
        return short in self.given


def translate(arguments: Sequence[str], find: Callable[[Path], bool] = Path.exists) -> list[list[str]]:
    """Turn the arguments of `timbre convert` into those of one or several runs in its own words.

    Without `-n` only options are renamed. With it the tutorial's customs hold: sources from raw/, results named and
    placed as there, flac, silence below -40 dB, clusters from logs/44k; each recording is converted to each speaker in
    a run of its own.
    Raises SettingsError for a word without its value, and for several recordings that would become one file.
    """
    request = _read(arguments)
    if not request.given:
        return [list(arguments)]
    place = _take_output(request) if request.has("-n") else None
    common = [*request.other, *_renamed(request, find)]
    given_speakers = [] if request.has("-usm") else request.given.get("-s", [])
    if not request.has("-n"):
        shifts = request.given.get("-t", [])
        if max(len(shifts), len(given_speakers)) > 1:
            raise SettingsError("several shifts or speakers were given without -n; name the recordings with -n")
        return [[*common, *_pairs(shift=shifts, speaker=given_speakers)]]
    names = request.given["-n"]
    shifts = request.given.get("-t") or ["0"]
    shifts = (shifts + [shifts[0]] * len(names))[: len(names)]
    runs: dict[Path, list[str]] = {}  # by what they write
    for name, shift in zip(names, shifts, strict=True):
        for speaker in given_speakers or [""]:
            output = place or RESULTS_FOLDER
            if output.suffix.lower() not in AUDIO_SUFFIXES:
                output /= _result_name(request, name, shift, speaker)
            words = [*common, *_run(request, _source(name, find), shift, speaker, output)]
            if runs.setdefault(output, words) != words:
                raise SettingsError(f"several results would become {output}; ask for them one after the other")
    return list(runs.values())


def _take_output(request: _Request) -> Path | None:
    """Take the place for the results, where one is given, out of the words that are not the tutorial's."""
    words = request.other
    at = next((at for at, word in enumerate(words) if word.partition("=")[0] in _OUTPUT_NAMES), None)
    if at is None:
        return None
    _, equals, value = words.pop(at).partition("=")
    if not equals and at == len(words):
        raise SettingsError("-o stands without a value; give the file or the folder to write")
    return Path(value if equals else words.pop(at))


def _read(arguments: Sequence[str]) -> _Request:
    request = _Request({}, [])
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            request.other += [word, *words]
            break
        name, equals, inline = word.partition("=") if word.startswith("--") else (word, "", "")
        option = _BY_NAME.get(name)
        if option is None or (name == option.new and option.takes != "list"):
            request.other.append(word)
            continue
        values = [inline] if equals else []
        if option.takes == "table" and not values and words and _is_mix(words[0]):
            values = [words.pop(0)]
        elif option.takes in ("value", "list") and not values:
            values = _values(words, option)
        request.given[option.short] = values
    return request


def _values(words: list[str], option: OldOption) -> list[str]:
    """Take the values of an option off the front of `words`."""
    values = []
    while words and (not words[0].startswith("-") or _is_number(words[0])):
        values.append(words.pop(0))
        if option.takes == "value":
            break
    if not values:
        raise SettingsError(f"{option.short} stands without a value; give one: {option.meaning}")
    return values


def _is_mix(word: str) -> bool:
    return not word.startswith("-") and ("=" in word or Path(word).suffix in (MIX_FILE.suffix, MIX_SCRIPT.suffix))


def _is_zero(word: str) -> bool:
    return _is_number(word) and float(word) == 0


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _renamed(request: _Request, find: Callable[[Path], bool]) -> list[str]:
    """Return all options but sources, shifts and speakers in the new words."""
    renamed: list[str] = []
    for short, values in request.given.items():
        option = _BY_NAME[short]
        if short in ("-n", "-t", "-s", "-cm") or (short in ("-cl", "-lg") and _is_zero(values[0])):
            continue
        if short == "-fmp":
            renamed += ["--pitch", "crepe"]
        elif short == "-fr":
            renamed += ["--retrieval", "index"]
        elif short == "-usm" and not values:
            renamed += ["--speaker-mix", str(MIX_SCRIPT if find(MIX_SCRIPT) and not find(MIX_FILE) else MIX_FILE)]
        elif short != "-cr" or not request.has("-usm"):  # a mix of speakers has never retrieved
            renamed += [option.new, *values]
    return [*renamed, *_diffusion_file(request, find), *_retrieval_file(request)]


def _diffusion_file(request: _Request, find: Callable[[Path], bool]) -> list[str]:
    """Return the option for the model of the tutorial's tree, where diffusion is asked for without -dm."""
    diffuses = request.has("-shd") or request.has("-od")
    is_given = request.has("-dm") or any(word.partition("=")[0] == "--diffusion-model" for word in request.other)
    wants_usual = diffuses and request.has("-m") and request.has("-n") and not is_given and find(DIFFUSION_FILE)
    return ["--diffusion-model", str(DIFFUSION_FILE)] if wants_usual else []


def _retrieval_file(request: _Request) -> list[str]:
    """Return the option for the file of -cm, or for that of the tutorial's tree where one is needed."""
    option, usual = ("--index", INDEX_FILE) if request.has("-fr") else ("--cluster", CLUSTERS_FILE)
    if request.value("-cm"):  # the tutorial writes an empty one for none
        return [option, request.value("-cm")]
    retrieves = not _is_zero(request.value("-cr", "0")) and not request.has("-usm")
    is_given = any(word.partition("=")[0] in ("--index", "--cluster") for word in request.other)
    return [option, str(usual)] if retrieves and request.has("-m") and request.has("-n") and not is_given else []


def _run(request: _Request, source: Path, shift: str, speaker: str, output: Path) -> list[str]:
    """Return the words for one recording and one speaker, with the tutorial's customs."""
    words = [str(source), *_pairs(shift=[shift], speaker=[speaker] if speaker else []), "--output", str(output)]
    if not request.has("-wf") and output.suffix == f".{_FORMAT}":
        words += ["--format", _FORMAT]
    if not request.has("-sd"):
        words += ["--slice-threshold-db", "-40"]
    return words


def _source(name: str, find: Callable[[Path], bool]) -> Path:
    path = Path(name if "." in name else f"{name}.wav")
    return path if find(path) or path.parent != Path(".") else SOURCES_FOLDER / path


def _result_name(request: _Request, name: str, shift: str, speaker: str) -> str:
    key = "auto" if request.has("-a") else f"{shift}key"
    ratio = request.value("-cr", "0")
    cluster = "" if _is_zero(ratio) else f"_{ratio}"
    mode = "diff" if request.has("-od") else "sovdiff" if request.has("-shd") else "sovits"
    tracker = "crepe" if request.has("-fmp") else request.value("-f0p", "pm")
    clean = Path(name if "." in name else f"{name}.wav").name
    singer = "spk_mix" if request.has("-usm") else safe_name(speaker)
    return f"{clean}_{key}_{singer}{cluster}_{mode}_{tracker}.{request.value('-wf', _FORMAT)}"


def _pairs(*, shift: Sequence[str], speaker: Sequence[str]) -> list[str]:
    return [
        *(word for value in shift for word in ("--pitch-shift", value)),
        *(word for value in speaker for word in ("--speaker", value)),
    ]
