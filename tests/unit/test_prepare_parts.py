"""The parts of making a dataset that need no worker: finding, splitting, cutting, listing, planning."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.recordings import NFC, NFD, phrase, save
from tests.toys import glide
from timbre.audio.loudness import integrated_loudness
from timbre.audio.peaks import true_peak_db
from timbre.audio.reader import read_audio
from timbre.audio.resample import resample
from timbre.config.cutting import CutSettings
from timbre.config.prepare import PrepareSettings
from timbre.dataset.places import clip_file
from timbre.errors import AudioError, DatasetError, OutputError, SettingsError
from timbre.prepare.cut_records import CutClip, CutRecord, cut_key, read_record, write_record
from timbre.prepare.cutting_recordings import Place, cut_recording, stretches_of
from timbre.prepare.gathering import Job, check_trainable, list_clips
from timbre.prepare.hearing import Hearing, choose_hearing
from timbre.prepare.plan import Cost, check_fits
from timbre.prepare.recordings import Found, Recording, SpeakerNames, find_recordings
from timbre.prepare.splitting import choose_validation
from timbre.weights.digest import sha256_of

HEARING = Hearing(44_100, 512, "toy", 5, "pm", "exact float32", {"content": "content-00000000"}, {"content": 1.0}, "")
RATE = 44_100


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def find(raw: Path, **options: object) -> Found:
    given = {"speaker": None, "labels_folder": None, "output": raw / "ds", "names": SpeakerNames(), **options}
    return find_recordings(raw, **given)  # type: ignore[arg-type]


class TestFinding:
    def test_speakers_are_the_folders_and_junk_is_counted(self, tmp_path: Path) -> None:
        for name in ("ada/deep/b.WAV", "ada/a.flac", "c.mp3", "ada/readme.txt", ".DS_Store", ".git/a.wav", "ds/d.wav"):
            touch(tmp_path / "singers" / name)
        found = find(tmp_path / "singers")
        assert [(each.source, each.speaker) for each in found.recordings] == [
            ("ada/a.flac", "ada"),
            ("ada/deep/b.WAV", "ada"),
            ("c.mp3", "singers"),
        ]
        assert found.n_other_files == 1

    @pytest.mark.parametrize(("beside", "speakers"), [((), {"ada", "bob"}), (("44k/c.wav",), {"44k"})])
    def test_the_folders_of_a_dataset_of_so_vits_svc_are_speakers(
        self, tmp_path: Path, beside: tuple[str, ...], speakers: set[str]
    ) -> None:
        for name in ("44k/ada/a.wav", "44k/ada/a.wav.f0.npy", "44k/bob/deep/b.wav", *beside):
            touch(tmp_path / "dataset" / name)
        assert {each.speaker for each in find(tmp_path / "dataset").recordings} == speakers

    def test_one_speaker_for_all(self, tmp_path: Path) -> None:
        touch(tmp_path / "one" / "a.wav")
        touch(tmp_path / "two" / "b.wav")
        assert {each.speaker for each in find(tmp_path, speaker="ada").recordings} == {"ada"}

    def test_names_that_differ_in_their_unicode_form_are_one(self, tmp_path: Path) -> None:
        names = SpeakerNames()
        for name in (NFC, NFD):
            touch(tmp_path / name / f"{name}.wav")
        found = find(tmp_path, names=names)
        assert {each.speaker for each in found.recordings} == {NFC}
        assert all(unicodedata.is_normalized("NFC", each.source) for each in found.recordings)
        assert len({each.path for each in found.recordings}) == 2
        assert len(names.notes()) == 1 and NFC in names.notes()[0]

    def test_case_counts_where_the_system_sees_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for system, n_speakers in (("linux", 2), ("darwin", 1), ("win32", 1)):
            monkeypatch.setattr("sys.platform", system)
            names = SpeakerNames()
            assert len({names.of("Ada"), names.of("ada")}) == n_speakers
            assert len(names.notes()) == 2 - n_speakers

    def test_name_that_is_no_text(self, tmp_path: Path) -> None:
        folder = tmp_path / "raw"
        folder.mkdir()
        try:
            (folder / "a\udcff.wav").touch()
        except OSError:
            pytest.skip("this system has no such names")
        assert find(folder).recordings[0].source == "a\ufffd.wav"

    def test_labels_beside_and_in_a_folder(self, tmp_path: Path) -> None:
        for name in ("raw/a.wav", "raw/b.wav", "raw/c.wav", "raw/a.labels.csv", "raw/b.labels.TextGrid", "raw/c.txt"):
            touch(tmp_path / name)
        inside = [touch(tmp_path / "labels" / name) for name in ("b.tsv", "lost.csv")]
        found = find(tmp_path / "raw", labels_folder=tmp_path / "labels")
        assert [each.labels for each in found.recordings] == [tmp_path / "raw" / "a.labels.csv", inside[0], None]
        assert found.n_other_files == 1
        assert len(found.notes) == 1 and "2 label files" in found.notes[0] and "lost.csv" in found.notes[0]

    def test_links_in_a_circle_end(self, tmp_path: Path) -> None:
        touch(tmp_path / "raw" / "ada" / "a.wav")
        (tmp_path / "raw" / "ada" / "again").symlink_to(tmp_path / "raw")
        touch(tmp_path / "far" / "b.wav")
        (tmp_path / "raw" / "bob").symlink_to(tmp_path / "far")
        assert [each.source for each in find(tmp_path / "raw").recordings] == ["ada/a.wav", "bob/b.wav"]

    def test_folder_that_cannot_be_read_is_left_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import os

        touch(tmp_path / "ada" / "a.wav")
        touch(tmp_path / "secret" / "b.wav")
        scandir = os.scandir

        def refuse(path: str) -> Iterator[os.DirEntry[str]]:
            if Path(path).name == "secret":
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
        found = find(tmp_path)
        assert [each.source for each in found.recordings] == ["ada/a.wav"]
        assert [(each.source, "Permission denied" in each.reason) for each in found.left_out] == [("secret", True)]

    def test_nothing_to_hear(self, tmp_path: Path) -> None:
        touch(tmp_path / "a.txt")
        with pytest.raises(AudioError, match="none of its 1 files"):
            find(tmp_path)


class TestSplitting:
    @given(st.lists(st.integers(0, 10**6), min_size=1, unique=True), st.floats(0, 0.5), st.integers(0, 5))
    def test_never_all_and_never_none_of_three(self, numbers: list[int], share: float, seed: int) -> None:
        chosen = choose_validation([("ada", str(number)) for number in numbers], share, seed)
        if len(numbers) < 3 or share == 0:
            assert not chosen
        else:
            assert 1 <= len(chosen) < len(numbers)

    def test_places_stay_when_clips_are_added(self) -> None:
        clips = [("ada", f"{number:016x}") for number in range(400)]
        few, many = (choose_validation(clips[:n], 0.1, 7) for n in (200, 400))
        assert few == {clip_id for clip_id in many if clip_id in {clip_id for _, clip_id in clips[:200]}}
        assert 20 <= len(many) <= 60
        assert many != choose_validation(clips, 0.1, 8)

    def test_each_speaker_gives(self) -> None:
        clips = [(name, f"{name}{number}") for name in "abc" for number in range(4)]
        chosen = choose_validation(clips, 0.01, 0)
        assert {clip_id[0] for clip_id in chosen} == {"a", "b", "c"}


class TestCutting:
    @settings(max_examples=40)
    @given(
        st.lists(st.tuples(st.integers(0, 900), st.integers(1, 300)), max_size=8),
        st.lists(st.integers(1, 400), min_size=1, max_size=6),
    )
    def test_stretches_are_exact_however_blocks_come(self, spans: list[tuple[int, int]], sizes: list[int]) -> None:
        wave = np.arange(sum(sizes), dtype=np.float32)
        blocks = np.split(wave, np.cumsum(sizes)[:-1])
        places = [Place(start, start + length) for start, length in spans]
        got = list(stretches_of(blocks, places))
        assert sorted((place.start, place.end) for place, _ in got) == sorted((at.start, at.end) for at in places)
        for place, stretch in got:
            np.testing.assert_array_equal(stretch, wave[place.start : place.end])

    def cut(self, path: Path, labels: Path | None = None, **options: object) -> CutRecord:
        chosen = PrepareSettings.from_mapping(options)
        return cut_recording(path, sha256_of(path), labels, chosen, CutSettings(), path.parent / "ds")

    def wave(self, path: Path, clip: CutClip) -> np.ndarray:
        return read_audio(clip_file(path.parent / "ds", clip.id)).samples[0]

    def test_loudness_and_true_peak(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.wav", 0.3 * phrase(5.0, RATE), RATE)
        for target in (-23.0, -12.0):
            (clip,) = self.cut(path, target_lufs=target).clips
            wave = self.wave(path, clip)
            assert true_peak_db(wave, RATE) <= -0.99
            if target == -23:
                assert integrated_loudness(wave, RATE) == pytest.approx(target, abs=0.05)
            assert clip.gain_db == pytest.approx(target - clip.loudness_lufs, abs=0.002)

    def test_peak_and_none(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.wav", 0.3 * phrase(5.0, RATE), RATE, subtype="FLOAT")
        (peak,), (none,) = (self.cut(path, loudness=how).clips for how in ("peak", "none"))
        assert np.abs(self.wave(path, peak)).max() == pytest.approx(1, abs=1e-6)
        assert np.abs(self.wave(path, none)).max() == pytest.approx(none.source_peak, abs=1e-6)
        assert none.gain_db == 0 and peak.gain_db == pytest.approx(-20 * np.log10(none.source_peak), abs=0.002)
        loud = save(tmp_path / "b.wav", 10 * phrase(5.0, RATE), RATE, subtype="FLOAT")
        (clip,) = self.cut(loud, loudness="none").clips
        assert clip.source_peak > 1 and np.abs(self.wave(loud, clip)).max() == pytest.approx(0.98, abs=1e-6)

    def test_ends_are_trimmed_unless_asked_not_to(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.wav", phrase(5.0, RATE), RATE)
        (trimmed,), (whole,) = (self.cut(path, trim=trim).clips for trim in (True, False))
        assert 0.1 < trimmed.start_s < 0.25 and 4.75 < trimmed.end_s < 4.9
        assert (whole.start_s, whole.end_s) == (0, 5)
        assert trimmed.n_samples == round((trimmed.end_s - trimmed.start_s) * RATE)

    def test_place_of_a_clip_is_right_at_another_rate(self, tmp_path: Path) -> None:
        sound = phrase(5.0, 16_000)
        path = save(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
        (clip,) = self.cut(path, loudness="none").clips
        whole = resample(sound, 16_000, RATE)
        start = round(clip.start_s * RATE)
        np.testing.assert_allclose(self.wave(path, clip), whole[start : start + clip.n_samples], atol=1e-6)

    def test_labels_may_overlap_and_are_told(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.wav", glide(5.0, 16_000), 16_000)
        labels = tmp_path / "a.csv"
        labels.write_text("0,2,x,ada\n1,3,y,bob\n4.98,5,z\n")
        record = self.cut(path, labels)
        assert [(clip.name, clip.speaker, clip.n_samples) for clip in record.clips] == [
            ("x", "ada", 2 * RATE),
            ("y", "bob", 2 * RATE),
        ]
        assert "1 labels overlap" in record.notes[0] and record.left_out[0][0] == 4.98

    def test_clip_that_is_there_is_not_written_again(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.wav", phrase(5.0, RATE), RATE)
        first = self.cut(path)
        file = clip_file(tmp_path / "ds", first.clips[0].id)
        before = file.stat().st_mtime_ns
        assert self.cut(path) == first and file.stat().st_mtime_ns == before


class TestRecords:
    CLIP = CutClip("0" * 16, 0.0, 6.0, 6 * RATE, -20.0, -3.0, 0.5, RATE, None, None)

    def test_record_counts_only_with_its_clips(self, tmp_path: Path) -> None:
        record = CutRecord((self.CLIP,), ((1.0, "silent"), (None, "damaged")), ("a note",))
        write_record(tmp_path, "key", record)
        assert read_record(tmp_path, "key") is None
        touch(clip_file(tmp_path, self.CLIP.id))
        assert read_record(tmp_path, "key") == record
        (tmp_path / ".prepare" / "cuts" / "key.json").write_text("{}")
        assert read_record(tmp_path, "key") is None

    def test_key_depends_on_what_changes_clips(self) -> None:
        base = PrepareSettings()
        keys = {
            cut_key("a", None, base, CutSettings()),
            cut_key("b", None, base, CutSettings()),
            cut_key("a", "l", base, CutSettings()),
            cut_key("a", None, replace(base, loudness="none"), CutSettings()),
            cut_key("a", None, replace(base, target_lufs=-20.0), CutSettings()),
            cut_key("a", None, replace(base, trim=False), CutSettings()),
            cut_key("a", None, base, CutSettings(longest_s=12.0)),
        }
        assert len(keys) == 7
        assert cut_key("a", "l", base, CutSettings()) == cut_key("a", "l", base, CutSettings(longest_s=12.0))
        other = replace(base, pitch="dio", encoder="vec768l12", seed=3, workers=4)
        assert cut_key("a", None, other, CutSettings()) == cut_key("a", None, base, CutSettings())

    def job(self, source: str, *clips: CutClip, speaker: str = "ada") -> Job:
        return Job(Recording(Path(source), source, source, speaker, None), record=CutRecord(tuple(clips), (), ()))

    def test_the_same_sound_is_taken_once(self) -> None:
        second = replace(self.CLIP, id="1" * 16, start_s=7.0, name="solo", speaker="bob")
        jobs = [self.job("a.wav", self.CLIP, second), self.job("b.wav", self.CLIP, second), self.job("c.wav", second)]
        jobs += [self.job("d.wav", self.CLIP, replace(self.CLIP, id="2" * 16)), Job(jobs[0].recording, fault="broken")]
        clips, left_out = list_clips(jobs, SpeakerNames(), HEARING, PrepareSettings())
        assert [(clip.id[0], clip.name, clip.speaker) for clip in clips] == [
            ("0", "a_001", "ada"),
            ("1", "solo", "bob"),
            ("2", "d_002", "ada"),
        ]
        assert [each.reason for each in left_out] == [
            "it is the same recording as a.wav",
            "it is the same recording as a.wav",
            "the same sound is in a.wav",
            "broken",
        ]

    def test_what_cannot_train_is_refused(self) -> None:
        clips, _ = list_clips([self.job("a.wav", self.CLIP)], SpeakerNames(), HEARING, PrepareSettings())
        with pytest.raises(DatasetError, match=r"6\.0 s in 1 clip"):
            check_trainable(clips, [])
        check_trainable([*clips, *clips], [])


class TestPlan:
    COST = Cost(60.0, 60.0, 1e9, 1e9, 10 * 10**9, 1)

    def test_full_disk_is_told_before(self, tmp_path: Path) -> None:
        check_fits(self.COST, tmp_path)
        with pytest.raises(OutputError, match=r"needs about 1000 MB in .* has 900 MB left"):
            check_fits(replace(self.COST, free_disk_bytes=900 * 10**6), tmp_path)

    def test_workers_that_do_not_fit_the_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("timbre.prepare.plan.free_memory_bytes", lambda: 3 * 10**9)
        check_fits(replace(self.COST, n_workers=3), tmp_path)
        with pytest.raises(SettingsError, match="use --workers 3"):
            check_fits(replace(self.COST, n_workers=4), tmp_path)

    def test_time_is_shared_by_the_cores(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.cpu_count", lambda: 4)
        assert [replace(self.COST, n_workers=n).wall_s for n in (1, 2, 8)] == [120, 60, 30]


class TestHearing:
    def test_a_setting_changes_the_kinds_it_touches(self, toy_assets: Path) -> None:
        base = choose_hearing(PrepareSettings(pitch="pm"))
        assert (base.frame_rate_hz, base.hop_samples, base.content_width) == (16_000, 160, 5)
        same = choose_hearing(PrepareSettings(pitch="auto", voiced_threshold=0.5, seed=4, workers=3, loudness="none"))
        assert same.folders == base.folders
        pytest.importorskip("pyworld")
        other = choose_hearing(PrepareSettings(pitch="dio")).folders
        assert {kind for kind in other if other[kind] != base.folders[kind]} == {"pitch"}

    def test_other_weights_are_another_content(
        self, toy_assets_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import shutil

        from safetensors.torch import load_file, save_file

        folders = []
        shutil.copytree(toy_assets_folder, tmp_path / "assets")
        monkeypatch.setattr("timbre.voice.shelf.ASSETS", tmp_path / "assets")
        file = tmp_path / "assets" / "base" / "weights.safetensors"
        for shift in (0, 1):
            save_file({name: tensor + shift for name, tensor in load_file(file).items()}, file)
            folders.append(choose_hearing(PrepareSettings(pitch="pm")).folders)
        assert {kind for kind in folders[0] if folders[0][kind] != folders[1][kind]} == {"content"}
