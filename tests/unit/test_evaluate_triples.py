from pathlib import Path

import pytest

from timbre.errors import SettingsError
from timbre.evaluate.triples import find_triples


def make(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def test_sub_folders(tmp_path: Path) -> None:
    make(tmp_path / "speech" / "one", "source.wav", "converted.flac", "like1.wav", "like2.ogg")
    (tmp_path / "speech" / "one" / "transcript.txt").write_text("Guten Tag\n", encoding="utf-8")
    make(tmp_path / "two", "source.wav", "converted.wav", "like.wav")
    make(tmp_path / "notes", "readme.txt")
    two, one = find_triples(tmp_path)
    assert (two.name, two.group, two.transcript) == ("two", "all", None)
    assert (one.name, one.group, one.transcript) == ("speech/one", "speech", "Guten Tag")
    assert [path.name for path in one.like] == ["like1.wav", "like2.ogg"]
    assert one.converted.name == "converted.flac"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["source.wav", "converted.wav"], r"'x' has no like"),
        (["source.wav", "like.wav"], r"0 files converted"),
        (["source.wav", "source.flac", "converted.wav", "like.wav"], r"2 files source"),
    ],
)
def test_incomplete_sub_folders_are_told(tmp_path: Path, names: list[str], message: str) -> None:
    make(tmp_path / "x", *names)
    with pytest.raises(SettingsError, match=message):
        find_triples(tmp_path)


def test_table(tmp_path: Path) -> None:
    (tmp_path / "triples.csv").write_text(
        "source,converted,like,group,language,shift\na.wav,b.wav,c.wav; d.wav,sung,de,-12\na.wav,e.wav,c.wav,,,\n",
        encoding="utf-8",
    )
    plain, sung = find_triples(tmp_path)
    assert (sung.group, sung.language, sung.asked_shift_semitones) == ("sung", "de", -12.0)
    assert [path.name for path in sung.like] == ["c.wav", "d.wav"]
    assert (plain.group, plain.language, plain.asked_shift_semitones) == ("all", None, None)
    assert plain.converted == tmp_path.resolve() / "e.wav"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,converted\n", "needs source, converted, like"),
        ("source,converted,like,gruop\n", "may have name, group"),
        ("source,converted,like\na.wav,,c.wav\n", "row 1 leaves"),
        ("source,converted,like\na.wav,../b.wav,c.wav\n", "leaves the folder"),
        ("source,converted,like,shift\na.wav,b.wav,c.wav,up\n", "number of semitones"),
        ("source,converted,like,shift\na.wav,b.wav,c.wav,nan\n", "number of semitones"),
        ("source,converted,like\n", "holds no conversion"),
    ],
)
def test_wrong_tables_are_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "triples.csv").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=message):
        find_triples(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a folder"):
        find_triples(tmp_path / "absent")


def test_text_of_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "triples.csv").write_text("source,converted,like\na.wav,b.wav,c.wav\n", encoding="utf-16")
    with pytest.raises(SettingsError, match=r"triples.csv is not UTF-8 text; save it as UTF-8"):
        find_triples(tmp_path)
    make(tmp_path / "other" / "x", "source.wav", "converted.wav", "like.wav")
    (tmp_path / "other" / "x" / "transcript.txt").write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"transcript.txt is not UTF-8"):
        find_triples(tmp_path / "other")
