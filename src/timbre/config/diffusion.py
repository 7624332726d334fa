"""The settings file of a diffusion model (diffusion.yaml, config.yaml beside a model_*.pt; models spec 9.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from timbre.config.json_object import JsonObject, decoded
from timbre.errors import SettingsError

MAX_FILE_BYTES = 2**20
_VOCODER, _LOG10_VOCODER = "nsf-hifigan", "nsf-hifigan-log10"
_SECTIONS: dict[str, dict[str, Any]] = {  # with what absent keys mean
    "data": {"unit_interpolate_mode": "left"},
    "model": {"use_pitch_aug": False, "n_spk": 1, "timesteps": 1000, "k_step_max": 0},
    "vocoder": {"type": _VOCODER},
    "infer": {"method": "ddpm", "speedup": 10},
    "spk": {},
}
_OWN_YAML = "use the yaml that was saved with the model"
_MALFORMED = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}
_PYTHON_OBJECT = "tag:yaml.org,2002:python/object/"  # in contrast to python/object:, which lists attributes
_OBJECT_PARTS = ("dictitems", "listitems", "state", "args")  # what stands for an object, the most telling first


@dataclass(frozen=True)
class DiffusionShape:
    """What a diffusion model is and hears; names and meanings are those of its settings file."""

    encoder: str  # name of the content encoder that made the units
    encoder_out_channels: int
    block_size: int  # samples for each frame
    sampling_rate: int  # Hz
    n_layers: int
    n_chans: int
    n_hidden: int
    use_pitch_aug: bool
    timesteps: int
    k_step_max: int  # deepest step that was trained, 1 to timesteps
    n_spk: int
    unit_interpolate_mode: str
    vocoder_type: str
    infer_method: str
    infer_speedup: int
    speakers: Mapping[str, int]  # name -> id

    @property
    def is_log10(self) -> bool:
        """Its vocoder's generator hears decimal logarithms."""
        return self.vocoder_type == _LOG10_VOCODER

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DiffusionShape:
        """Pick the values out of a whole settings file; unknown keys are ignored, absent ones read as none.

        None means: no pitch augmentation, 1 speaker, 1000 timesteps, all of them trained, units stretched by "left",
        vocoder "nsf-hifigan", method "ddpm" and speedup 10. Raises SettingsError where another key is absent or a
        value is wrong.
        """
        content = {name: _present(config.get(name)) for name in _SECTIONS}
        content["spk"] = config.get("spk") or {}  # a name without a number is no absent key
        settings = JsonObject(content, "the diffusion settings", _OWN_YAML)
        data, model, vocoder, infer, names = (settings.section(name, defaults) for name, defaults in _SECTIONS.items())
        timesteps, k_step_max = model.whole("timesteps"), model.whole("k_step_max", low=None)
        n_chans = model.whole("n_chans")
        if n_chans < 4 or n_chans % 2:
            raise SettingsError(f"n_chans is {n_chans}; it must be an even number of at least 4, {_OWN_YAML}")
        return cls(
            encoder=data.text("encoder"),
            encoder_out_channels=data.whole("encoder_out_channels"),
            block_size=data.whole("block_size"),
            sampling_rate=data.whole("sampling_rate"),
            n_layers=model.whole("n_layers"),
            n_chans=n_chans,
            n_hidden=model.whole("n_hidden"),
            use_pitch_aug=model.flag("use_pitch_aug"),
            timesteps=timesteps,
            k_step_max=k_step_max if 0 < k_step_max < timesteps else timesteps,
            n_spk=model.whole("n_spk"),
            unit_interpolate_mode=data.text("unit_interpolate_mode"),
            vocoder_type=vocoder.choice("type", (_VOCODER, _LOG10_VOCODER)),
            infer_method=infer.text("method"),
            infer_speedup=infer.whole("speedup", low=None),
            speakers={str(name): names.whole(name, low=0) for name in names.values},
        )


def _present(section: Any) -> Any:
    """Return a section without the keys that hold nothing, which count as absent."""
    if not isinstance(section, Mapping):
        return {} if section is None else section
    return {key: value for key, value in section.items() if value is not None}


def read_diffusion_yaml(path: str | Path) -> dict[str, Any]:
    """Read a settings file into plain containers, in UTF-8 or else in a Chinese or Western encoding.

    Nothing is constructed for a tag that names a Python class or function: mappings, sequences and scalars under it
    become dicts, lists and plain values. Dates stay text, so that all can be written as JSON. Raises SettingsError
    when the file is absent, larger than 1 MiB, no yaml, no mapping, or uses aliases, with which a small file could
    stand for a huge one.
    """
    path = Path(path)
    if not path.is_file():
        raise SettingsError(f"there is no diffusion settings file {str(path)!r}; give the path of the model's yaml")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise SettingsError(f"{path.name!r} has {size} bytes, too many for a settings file; {_OWN_YAML}")
    try:
        content = yaml.load(decoded(path.read_bytes()), Loader=_PlainLoader)
    except _MALFORMED as error:
        raise SettingsError(f"{path.name!r} is damaged, uses aliases or is no yaml file; {_OWN_YAML}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path.name!r} holds no table of settings; {_OWN_YAML}")
    return content


class _PlainLoader(yaml.SafeLoader):
    """A safe loader that reads a value with an unknown tag as if it had none, and refuses aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose the next node; the items of a Python object stand for the object."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.MappingNode) and node.tag.startswith(_PYTHON_OBJECT):
            parts = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
            node = next((parts[part] for part in _OBJECT_PARTS if part in parts), node)
        if node is not None and node.tag not in _PLAIN_TAGS:
            node.tag = self._usual_tag(node)
        return node

    def _usual_tag(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.MappingNode):
            return self.DEFAULT_MAPPING_TAG
        if isinstance(node, yaml.SequenceNode):
            return self.DEFAULT_SEQUENCE_TAG
        is_bare = isinstance(node, yaml.ScalarNode) and node.style is None
        tag: str = self.resolve(yaml.ScalarNode, node.value, (is_bare, not is_bare))  # type: ignore[no-untyped-call]
        return tag if tag in _PLAIN_TAGS else self.DEFAULT_SCALAR_TAG
