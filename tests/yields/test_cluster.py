"""A real Dask cluster on this machine, whose workers are killed; runs where ``distributed`` is installed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nmcompiler.errors import UsageError
from nmcompiler.yields.study import Plan, Study

from .conftest import here

CHIPS = 300


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from nmcompiler.yields.cluster import Cluster

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'nmcompiler\[distributed\]'"):
        Cluster("tcp://127.0.0.1:1")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Local:
    """A scheduler and workers without nannies: what is killed stays dead."""

    def __init__(self, folder: Path) -> None:
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self._folder = folder
        self.scheduler = self._start("scheduler", "--host", self.address, "--no-dashboard")
        self.workers: list[subprocess.Popen[bytes]] = []

    def add_worker(self) -> None:
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
        self.workers.append(self._start("worker", self.address, *options))

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[_Local]:
    pytest.importorskip("distributed")
    cluster = _Local(tmp_path)
    yield cluster
    cluster.end()


@pytest.mark.filterwarnings("default")  # what Dask warns of is not ours to mend
def test_a_killed_worker_of_a_cluster_changes_no_figure(local: _Local, study: Study) -> None:
    from distributed import Client

    from nmcompiler.yields.cluster import Cluster

    jobs = study.jobs(Plan(CHIPS))
    expected = {number: said["row"] for number, said in here(study.setting, jobs)}
    local.add_worker()
    local.add_worker()
    with Client(local.address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    with Cluster(local.address) as cluster:
        assert cluster.workers == 2
        answers = cluster.answers(study.setting, jobs)
        found = dict([next(answers)])
        os.kill(local.workers[0].pid, signal.SIGKILL)
        local.workers[0].wait()
        found |= dict(answers)
    assert local.workers[1].poll() is None
    assert {number: said["row"] for number, said in found.items()} == expected


@pytest.mark.filterwarnings("default")
def test_a_cluster_that_is_not_there_or_empty_is_one_sentence(
    local: _Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nmcompiler.yields import cluster

    monkeypatch.setattr(cluster, "_PATIENCE_S", 1)
    for address in (f"tcp://127.0.0.1:{free_port()}", "nonsense://", "127.0.0.1:99999999"):
        with pytest.raises(UsageError, match="no Dask scheduler answers at"):
            cluster.Cluster(address)
    monkeypatch.setattr(cluster, "_PATIENCE_S", 60)
    with pytest.raises(UsageError, match="has no workers; start one: dask worker"):
        cluster.Cluster(local.address)


@pytest.mark.filterwarnings("default")
def test_workers_with_other_code_are_refused(local: _Local, study: Study) -> None:
    from nmcompiler.yields.cluster import Cluster

    local.add_worker()
    until = time.monotonic() + 60
    while True:
        try:
            cluster = Cluster(local.address)
            break
        except UsageError:
            assert time.monotonic() < until
    with cluster:
        setting = {**study.setting, "code": {"nmcompiler": "another"}}
        ((_, said),) = cluster.answers(setting, study.jobs(Plan(1)))
    assert said["error"]["sentence"].startswith("a worker has another version of nmcompiler")
