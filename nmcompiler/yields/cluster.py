"""Workers of an existing Dask cluster, which read the same files at the same paths (a shared file system)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from nmcompiler.errors import BackendFault, UsageError
from nmcompiler.yields.pool import chunk_size
from nmcompiler.yields.subject import Job, Setting, answer_all

__all__ = ["Cluster"]

_PATIENCE_S = 10


class Cluster:
    """A cluster that was started by somebody else, and goes on after the command.

    Args:
        address: Of its scheduler, ``tcp://host:port``.

    Raises:
        UsageError: ``distributed`` is not installed, nobody answers, or there are no workers.
    """

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError:
            raise UsageError(
                "--scheduler needs the package 'distributed', which is not installed",
                hint="pip install 'nmcompiler[distributed]'",
            ) from None
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # a lost worker is no news for the user
        self._dask: Any = distributed
        try:
            self._client: Any = distributed.Client(address, timeout=_PATIENCE_S, set_as_default=False)
        except (OSError, ValueError, TypeError, KeyError, TimeoutError) as error:
            raise UsageError(
                f"no Dask scheduler answers at '{address}' ({_first_line(error)})",
                allowed="the address that dask scheduler prints, such as tcp://host:8786",
            ) from None
        threads = self._client.nthreads()
        if not threads:
            self._client.close()
            raise UsageError(
                f"the Dask cluster at '{address}' has no workers", hint=f"start one: dask worker {address}"
            )
        self.workers = sum(threads.values())

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def answers(self, setting: Setting, jobs: Sequence[Job]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the number of each job with its answer, as they come; the cluster redoes what a worker lost.

        Raises:
            BackendFault: The workers cannot import nmcompiler, or died at the same chips again and again.
        """
        size = chunk_size(len(jobs), self.workers)
        chunks = [list(enumerate(jobs))[k : k + size] for k in range(0, len(jobs), size)]
        # Keys are the cluster's own: equal jobs of another run are not taken from its memory.
        futures = [self._client.submit(answer_all, setting, chunk, pure=False) for chunk in chunks]
        try:
            for future in self._dask.as_completed(futures, loop=self._client.loop):
                error = future.exception()
                if error is not None:
                    raise BackendFault(
                        f"the Dask workers fail: {type(error).__name__}: {_first_line(error)}",
                        hint="they need this version of nmcompiler, and enough memory for a chip each",
                    )
                yield from future.result()
                future.release()
        finally:
            self._client.cancel(futures)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
