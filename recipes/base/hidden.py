"""Which recordings no stage of the base model may ever see; they are kept for judging it.

Whole voices are held out where there are enough of them. The single vocobox singer stays in training, so of his
recordings ten are held out: numbers 5, 15, ... 95 of the sorted list. One of the ten is an unedited take; the vowels
that may have been cut from it stay in training, so judge singing of unseen material by the sms_tools recordings.
"""

from collections.abc import Mapping

HIDDEN_SPEAKERS = frozenset(
    {
        "librispeech/533",
        "librispeech/1998",
        "librispeech/2414",
        "librispeech/3005",
        "librispeech/3331",
        "msc_malayalam/spk003",
        "msc_malayalam/spk005",
    }
)
HIDDEN_SOURCES = frozenset({"sms_tools"})
HIDDEN_PATHS = frozenset(
    {
        "vocobox/martin/notes_A4-3.flac",
        "vocobox/martin/notes_As4-3.flac",
        "vocobox/martin/notes_Cs3-3.flac",
        "vocobox/martin/notes_D3.flac",
        "vocobox/martin/notes_E3.flac",
        "vocobox/martin/notes_Fs3.flac",
        "vocobox/martin/notes_Gs2-4.flac",
        "vocobox/martin/source_c2-voyels.flac",
        "vocobox/martin/voyels__-e-c3-2.flac",
        "vocobox/martin/voyels__-o-c3-4.flac",
    }
)


def is_hidden(manifest_row: Mapping[str, str]) -> bool:
    """Say whether a recording is held out; `manifest_row` is one row of manifest.csv (path, source, speaker)."""
    return (
        manifest_row["source"] in HIDDEN_SOURCES
        or manifest_row["speaker"] in HIDDEN_SPEAKERS
        or manifest_row["path"] in HIDDEN_PATHS
    )
