"""The folder of recorded cases itself: nothing in it is passed over in silence."""

from __future__ import annotations

import pytest

from tests.golden_cases import KINDS, all_cases, models_folder


def test_every_case_is_of_a_kind_that_has_a_test() -> None:
    unknown = {case.name: case.kind for case in all_cases() if case.kind not in KINDS}
    assert not unknown


def test_no_case_lacks_its_description() -> None:
    alone = sorted(path.name for path in models_folder().glob("*.npz") if not path.with_suffix(".json").exists())
    if alone:
        pytest.skip(f"the descriptions are absent of {', '.join(alone)}")
