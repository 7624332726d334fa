"""Worker processes that do tasks at once; one that dies is replaced and its task tried once more."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from timbre.errors import TimbreError

_COMMAND = (sys.executable, "-W", "ignore", "-m", "timbre.prepare.worker")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_N_TRIES = 2


@dataclass(frozen=True)
class Outcome:
    """What became of one task: its result, or why there is none."""

    key: Any  # that of the task
    result: Any = None
    failure: str | None = None


class Crew:
    """Workers that start when they are first needed; `close` ends them all."""

    def __init__(self, setup: Mapping[str, Any], n_workers: int) -> None:
        self.n_workers = n_workers
        self.n_died = 0
        self._closed = False
        self._counting = threading.Lock()
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._workers = [_Worker(setup) for _ in range(n_workers)]
        for worker in reversed(self._workers):
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(n_workers)

    def close(self) -> None:
        """End all workers, whatever they are doing; the crew is then used up."""
        self._closed = True
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:  # one may have been started meanwhile
            worker.kill()

    def start(self, n_tasks: int) -> None:
        """Let as many workers as so many tasks can use get ready; without this each does when it is first asked."""
        for worker in self._workers[:n_tasks]:
            worker.start()

    def run(self, tasks: Iterable[tuple[Any, Mapping[str, Any]]]) -> Iterator[Outcome]:
        """Do tasks of (key, content), and yield their outcomes as they come.

        Raises TimbreError for what makes all further tasks useless, such as a full disk.
        """
        futures: list[Future[Outcome]] = [self._threads.submit(self._do, key, task) for key, task in tasks]
        for future in as_completed(futures):
            yield future.result()

    def _do(self, key: Any, task: Mapping[str, Any]) -> Outcome:
        worker = self._idle.get()
        try:
            for _ in range(_N_TRIES):
                answer = None if self._closed else worker.ask(task)
                if answer is not None:
                    break
                with self._counting:
                    self.n_died += 1
            else:
                return Outcome(key, failure=f"the process that worked on it died twice ({worker.last_words()})")
        finally:
            self._idle.put(worker)
        if "result" in answer:
            return Outcome(key, answer["result"])
        if answer["fatal"]:
            raise TimbreError(answer["failed"])
        return Outcome(key, failure=answer["failed"])


class _Worker:
    """One process, started when it is first asked; its asker is one thread at a time."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        self._setup = setup
        self._process: subprocess.Popen[str] | None = None
        self._code: int | None = None

    def start(self) -> None:
        """Start the process unless it runs."""
        if self._process is not None:
            return
        environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, "1")}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        environment["PYTHONSAFEPATH"] = "1"  # no module is taken from the folder of the recordings
        process = self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="ascii",
            env=environment,
            start_new_session=True,  # an interruption from the keyboard is for this process alone
        )
        assert process.stdin is not None
        with suppress(OSError):  # where it is dead already, its first task will tell
            print(json.dumps(self._setup), file=process.stdin, flush=True)

    def ask(self, task: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer to a task, or None where the process died over it."""
        self.start()
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            print(json.dumps(task), file=process.stdin, flush=True)
            line = process.stdout.readline()
        except (OSError, ValueError):
            line = ""
        if line.endswith("\n"):
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.kill()
        return None

    def last_words(self) -> str:
        """Say how the last process ended."""
        if self._code is not None and self._code < 0:
            return f"signal {-self._code}; the memory may be too small"
        return f"exit code {self._code}"

    def kill(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        self._code = process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):  # what was not sent stays unsent
                    stream.close()
