"""Worker processes: what dies is replaced, what fails is told, and nothing outlives the one who asked."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from timbre.errors import TimbreError
from timbre.prepare import crew as module
from timbre.prepare.crew import Crew, Outcome

STAND_IN = """
import json, os, signal, sys, time
folder = json.loads(sys.stdin.readline())["folder"]
for line in sys.stdin:
    task = json.loads(line)
    what = task["what"]
    if what == "die once" and not os.path.exists(folder + "/died"):
        open(folder + "/died", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "die":
        os._exit(3)
    if what == "wait":
        time.sleep(60)
    answer = {"result": [what, os.getpid()]}
    if what.startswith("fail"):
        answer = {"failed": what, "fatal": what == "fail fatally"}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    monkeypatch.setattr(module, "_COMMAND", (sys.executable, "-S", "-c", STAND_IN))
    crew = Crew({"folder": str(tmp_path)}, 2)
    yield crew
    crew.close()


def run(crew: Crew, *tasks: str) -> dict[int, Outcome]:
    return {outcome.key: outcome for outcome in crew.run((number, {"what": what}) for number, what in enumerate(tasks))}


def test_all_tasks_are_done_by_as_many_processes_as_asked(crew: Crew) -> None:
    outcomes = run(crew, *"abcdefgh")
    assert [outcomes[number].result[0] for number in range(8)] == list("abcdefgh")
    assert 1 <= len({outcome.result[1] for outcome in outcomes.values()}) <= 2
    assert crew.n_died == 0


def test_one_that_dies_is_replaced_and_its_task_done(crew: Crew) -> None:
    outcomes = run(crew, "die once", "a", "b")
    assert [outcomes[number].failure for number in range(3)] == [None] * 3
    assert crew.n_died == 1


def test_task_that_kills_twice_is_named_and_the_others_are_done(crew: Crew) -> None:
    outcomes = run(crew, "a", "die", "b")
    assert outcomes[0].result[0] == "a" and outcomes[2].result[0] == "b"
    assert "died twice (exit code 3)" in str(outcomes[1].failure) or "died twice (signal 9" in str(outcomes[1].failure)
    assert crew.n_died == 2


def test_failure_of_one_task_is_told(crew: Crew) -> None:
    outcomes = run(crew, "fail", "a")
    assert outcomes[0].failure == "fail" and outcomes[1].failure is None


def test_failure_that_concerns_all_is_raised(crew: Crew) -> None:
    with pytest.raises(TimbreError, match="fail fatally"):
        run(crew, "a", "fail fatally", "b")


def test_closing_ends_what_is_under_way(crew: Crew) -> None:
    threading.Timer(0.5, crew.close).start()
    started = time.monotonic()
    outcomes = crew.run([(0, {"what": "wait"})])
    assert next(outcomes).failure is not None
    assert time.monotonic() - started < 30


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_process_is_gone_after_closing(crew: Crew) -> None:
    pid = run(crew, "a")[0].result[1]
    crew.close()
    assert not Path(f"/proc/{pid}").exists() and pid != os.getpid()
