"""The settings of diffusion models: values and defaults, old and odd files, clear refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from timbre.config.diffusion import MAX_FILE_BYTES, DiffusionShape, read_diffusion_yaml
from timbre.errors import SettingsError

SMALLEST: dict[str, Any] = {
    "data": {"encoder": "vec768l12", "encoder_out_channels": 768, "block_size": 512, "sampling_rate": 44_100},
    "model": {"n_layers": 20, "n_chans": 512, "n_hidden": 256},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the smallest settings with section.key set, or removed for a value of `...`."""
    config: dict[str, Any] = {name: dict(section) for name, section in SMALLEST.items()}
    section, _, key = path.partition(".")
    if not key:
        return config | {section: value}
    config.setdefault(section, {})[key] = value
    if value is ...:
        del config[section][key]
    return config


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "diffusion.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


class TestShape:
    def test_defaults_of_absent_keys(self) -> None:
        assert DiffusionShape.from_config(SMALLEST) == DiffusionShape(
            encoder="vec768l12",
            encoder_out_channels=768,
            block_size=512,
            sampling_rate=44_100,
            n_layers=20,
            n_chans=512,
            n_hidden=256,
            use_pitch_aug=False,
            timesteps=1000,
            k_step_max=1000,
            n_spk=1,
            unit_interpolate_mode="left",
            vocoder_type="nsf-hifigan",
            infer_method="ddpm",
            infer_speedup=10,
            speakers={},
        )

    @pytest.mark.parametrize(
        ("path", "value", "field", "expected"),
        [
            ("model.timesteps", 400, "timesteps", 400),
            ("model.use_pitch_aug", True, "use_pitch_aug", True),
            ("model.n_spk", 4, "n_spk", 4),
            ("model.n_spk", None, "n_spk", 1),
            ("data.unit_interpolate_mode", "nearest", "unit_interpolate_mode", "nearest"),
            ("vocoder.type", "nsf-hifigan-log10", "vocoder_type", "nsf-hifigan-log10"),
            ("infer.method", "unipc", "infer_method", "unipc"),
            ("infer.speedup", 0, "infer_speedup", 0),
            ("spk", {"ada": 0, 7: 1}, "speakers", {"ada": 0, "7": 1}),
            ("spk", None, "speakers", {}),
            ("train.anything", [1], "n_layers", 20),
        ],
    )
    def test_values(self, path: str, value: Any, field: str, expected: Any) -> None:
        assert getattr(DiffusionShape.from_config(changed(path, value)), field) == expected

    @pytest.mark.parametrize(
        ("given", "depth"), [(None, 1000), (0, 1000), (-3, 1000), (1000, 1000), (2000, 1000), (999, 999), (1, 1)]
    )
    def test_depth_of_training(self, given: int | None, depth: int) -> None:
        assert DiffusionShape.from_config(changed("model.k_step_max", given)).k_step_max == depth

    @pytest.mark.parametrize("path", [f"{name}.{key}" for name, section in SMALLEST.items() for key in section])
    def test_keys_without_a_default(self, path: str) -> None:
        section, _, key = path.partition(".")
        for config in (changed(path, ...), changed(path, None)):
            sentence = f"the object '{section}' of the diffusion settings has no {key}; use the yaml"
            with pytest.raises(SettingsError, match=sentence):
                DiffusionShape.from_config(config)
        for nothing in (None, {}):
            with pytest.raises(SettingsError, match=f"'{section}' of the diffusion settings has no "):
                DiffusionShape.from_config(changed(section, nothing))

    @pytest.mark.parametrize(
        ("path", "value", "sentence"),
        [
            ("data.encoder", 7, "'data' .* says encoder is 7; it must be a text"),
            ("data.block_size", 512.0, "block_size is 512.0; it must be a whole number from 1"),
            ("data.sampling_rate", "44100", "sampling_rate is '44100'"),
            ("model", [512], "'model' of the diffusion settings holds .*, not an object"),
            ("model.n_layers", True, "n_layers is True"),
            ("model.n_layers", 0, "n_layers is 0"),
            ("model.n_chans", 7, "n_chans is 7; it must be an even number of at least 4"),
            ("model.n_chans", 2, "n_chans is 2; it must be an even number of at least 4"),
            ("model.k_step_max", "all", "k_step_max is 'all'; it must be a whole number$"),
            ("model.use_pitch_aug", "yes", "use_pitch_aug is 'yes'; it must be true or false"),
            ("infer.speedup", 2.5, "speedup is 2.5"),
            ("spk", {"ada": "0"}, "'spk' .* says ada is '0'"),
            ("spk", {"ada": -1}, "'spk' .* says ada is -1"),
            ("spk", {"ada": 0, "bea": None}, "'spk' .* says bea is None; it must be a whole number from 0"),
            ("vocoder.type", "hifigan", "'hifigan'; it must be one of: nsf-hifigan, nsf-hifigan-log10"),
            ("vocoder.type", 7, "type is 7; it must be one of: nsf-hifigan"),
            ("spk", ["ada"], "'spk' .* holds .*, not an object"),
        ],
    )
    def test_wrong_values(self, path: str, value: Any, sentence: str) -> None:
        with pytest.raises(SettingsError, match=sentence):
            DiffusionShape.from_config(changed(path, value))


class TestReading:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a: 1\nb: [x, 2.5, true, null]", {"a": 1, "b": ["x", 2.5, True, None]}),
            ("a: !!python/tuple [1, 2]", {"a": [1, 2]}),
            ("a: !!python/int 5\nb: !!python/str '5'\nc: !!python/none", {"a": 5, "b": "5", "c": None}),
            ("!!python/dict\na: !custom {b: 1}", {"a": {"b": 1}}),
            ("!!python/object:utils.DotDict\nargs: 1\nb: 2", {"args": 1, "b": 2}),
            (
                "!!python/object/new:utils.DotDict\n"
                "dictitems:\n  spk: !!python/object/new:utils.DotDict\n    dictitems: {ada: 0}\n"
                "state: !!python/object/new:utils.DotDict\n  dictitems: {b: 1}",
                {"spk": {"ada": 0}},
            ),
            ("a: !!python/object/apply:os.system ['exit 1']", {"a": ["exit 1"]}),
            ("a: !!python/name:os.system ''", {"a": ""}),
            ("a: !!set {x, y}\nb: !!binary aGk=", {"a": {"x": None, "y": None}, "b": "aGk="}),
            ("a: 2023-01-02", {"a": "2023-01-02"}),
        ],
    )
    def test_tags_are_read_as_plain_values(self, tmp_path: Path, text: str, expected: dict[str, Any]) -> None:
        content = read_diffusion_yaml(write(tmp_path, text))
        assert content == expected
        assert json.loads(json.dumps(content)) == expected

    def test_nothing_is_called(self, tmp_path: Path) -> None:
        target = tmp_path / "made"
        read_diffusion_yaml(write(tmp_path, f"a: !!python/object/apply:pathlib.Path.touch [{str(target)!r}]"))
        assert not target.exists()

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
    def test_encodings(self, tmp_path: Path, encoding: str) -> None:
        path = write(tmp_path, "spk: {小明: 0, 李雷: 1}".encode(encoding))
        assert read_diffusion_yaml(path) == {"spk": {"小明": 0, "李雷": 1}}

    def test_any_encoding_gives_the_settings(self, tmp_path: Path) -> None:
        assert read_diffusion_yaml(write(tmp_path, b"n: 3\nspk: {bj\xf6: 0}"))["n"] == 3

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("a: [1", "is damaged, uses aliases or is no yaml file"),
            (b"PK\x03\x04\x00\x01\x02", "is damaged, uses aliases or is no yaml file"),
            ("a: &x [1]\nb: *x", "uses aliases"),
            ("a: !!int x", "is damaged"),
            ("? [1]\n: 2", "is damaged"),
            ("[" * 5000, "is damaged"),
            ("some text", "holds no table of settings"),
            ("- 1", "holds no table of settings"),
            ("", "holds no table of settings"),
            (b"#" * (MAX_FILE_BYTES + 1), "has 1048577 bytes, too many for a settings file"),
        ],
    )
    def test_refusals(self, tmp_path: Path, content: str | bytes, sentence: str) -> None:
        with pytest.raises(SettingsError, match=rf"^'diffusion\.yaml' .*{sentence}.*; use the yaml [^.]*$"):
            read_diffusion_yaml(write(tmp_path, content))

    @pytest.mark.parametrize("name", ["absent.yaml", "."])
    def test_absent_file(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(SettingsError, match="there is no diffusion settings file"):
            read_diffusion_yaml(tmp_path / name)
