"""The linear and mel spectrograms of the synthesizer's training against recorded results."""

from __future__ import annotations

from tests.golden_cases import Case, parametrize
from timbre.dsp.mel import mel_filter_bank
from timbre.dsp.spectrogram import linear_spectrogram, log_mel


@parametrize("spec")
def test_spectrograms(case: Case) -> None:
    data = case.config["data"]
    bank = mel_filter_bank(
        data["sampling_rate"], data["filter_length"], data["n_mel_channels"], data["mel_fmin"], data["mel_fmax"]
    )
    spec = linear_spectrogram(case.tensor("in.wav"), data["filter_length"], data["hop_length"], data["win_length"])
    case.judge({"spec": spec, "mel": log_mel(spec, bank), "mel_basis": bank})
