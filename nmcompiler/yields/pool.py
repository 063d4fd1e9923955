"""Worker processes on this machine; one that dies loses nothing but the time of the chips it was at."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import IO, Any

from nmcompiler.errors import BackendFault
from nmcompiler.yields.subject import Job, Setting

__all__ = ["Pool", "chunk_size"]

_TRIES = 3
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

_Numbered = list[tuple[int, Job]]


def chunk_size(jobs: int, workers: int) -> int:
    """Returns how many jobs go to a worker at once: few enough that all end at about the same time."""
    return max(1, min(8, jobs // (4 * workers)))


class Pool:
    """Processes that start at once, so that they are ready when the first jobs are.

    They are no children in the sense of ``multiprocessing``: messages are lines of JSON, the main module is
    not imported again, and Ctrl-C reaches the command alone.

    Args:
        workers: How many.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._processes = [_Process() for _ in range(workers)]

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.end()

    def answers(self, setting: Setting, jobs: Sequence[Job]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the number of each job with its answer, as they come.

        Raises:
            BackendFault: Workers died at the same chip again and again.
        """
        if not jobs:
            return
        work = _Work(setting, jobs, self.workers)
        for process in self._processes:
            threading.Thread(target=work.serve, args=(process,), daemon=True).start()
        try:
            for _ in jobs:
                found = work.done.get()
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            work.stop(self.workers)


class _Work:
    """Jobs that wait, and answers that came; threads, one for each process, carry them between."""

    def __init__(self, setting: Setting, jobs: Sequence[Job], workers: int) -> None:
        self.done: queue.SimpleQueue[tuple[int, dict[str, Any]] | BaseException] = queue.SimpleQueue()
        self._setting = setting
        self._waiting: queue.SimpleQueue[_Numbered | None] = queue.SimpleQueue()
        self._deaths: Counter[int] = Counter()
        numbered, size = list(enumerate(jobs)), chunk_size(len(jobs), workers)
        for k in range(0, len(numbered), size):
            self._waiting.put(numbered[k : k + size])

    def stop(self, threads: int) -> None:
        """Ends all threads, those that wait for a worker when it has answered or is gone."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
        for _ in range(threads):
            self._waiting.put(None)

    def serve(self, process: _Process) -> None:
        """Gives chunks of jobs to a process until there are no more."""
        try:
            while (chunk := self._waiting.get()) is not None:
                left = dict(chunk)
                for number, said in process.answers(self._setting, chunk):
                    del left[number]
                    self.done.put((number, said))
                if left:
                    self._died(process, list(left.items()))
        except Exception as error:  # a thread that ends in silence would leave the command waiting
            self.done.put(error)

    def _died(self, process: _Process, left: _Numbered) -> None:
        """Puts back what a worker left, each chip alone, or gives up where the first of them is deadly."""
        at, job = left[0]
        self._deaths[at] += 1
        if self._deaths[at] >= _TRIES:
            raise BackendFault(
                f"{_TRIES} workers died at chip {job['seed']}, the last one {process.last_words()}",
                hint="where memory ran out, try fewer --workers or a smaller --batch",
            )
        for entry in left:
            self._waiting.put([entry])


class _Process:
    """One worker process, started anew where it died."""

    def __init__(self) -> None:
        self._setting: Setting | None = None
        self._ended = False
        self._start()

    def _start(self) -> None:
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        # The paths are those of this process: a worker must not find other code in the current folder.
        code = f"import sys; sys.path[:] = {sys.path!r}; from nmcompiler.yields.worker import main; main()"
        self._child = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={**os.environ, **dict.fromkeys(_ONE_THREAD, "1")},
            start_new_session=True,  # Ctrl-C at a terminal is for the command
        )
        self._setting = None

    def answers(self, setting: Setting, jobs: _Numbered) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields number and answer of each job; ends early where the process dies."""
        if self._child.poll() is not None and not self._ended:
            self._close()
            self._start()
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        messages: list[dict[str, Any]] = [{"jobs": jobs}]
        if setting is not self._setting:
            messages.insert(0, {"setting": setting})
            self._setting = setting
        try:
            self._child.stdin.write(b"".join(json.dumps(m).encode() + b"\n" for m in messages))
            self._child.stdin.flush()
        except OSError:  # it is dead already
            self._child.wait()
            return
        for _ in jobs:
            line = self._child.stdout.readline()
            if not line.endswith(b"\n"):
                self._child.wait()
                return
            said = json.loads(line)
            yield said.pop("number"), said

    def last_words(self) -> str:
        """Returns how the process ended."""
        code = self._child.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        how = f"of signal {-code}" if code < 0 else f"with exit code {code}"
        return how + (f" ({lines[-1]})" if lines else "")

    def end(self) -> None:
        """Ends the process, whatever it is at."""
        self._ended = True
        self._child.kill()
        self._close()

    def _close(self) -> None:
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            with contextlib.suppress(OSError):  # what was never sent has no reader
                if pipe is not None:
                    pipe.close()
        self._complaints.close()
