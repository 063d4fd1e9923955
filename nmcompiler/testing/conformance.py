"""The tests that every backend must pass, for the authors of backends.

A plug-in subclasses ``BackendConformance`` in its own tests, and pytest does the rest::

    from nmcompiler.testing import BackendConformance

    class TestAcme(BackendConformance):
        backend_name = "acme"

What a chip cannot do is excluded by name, with the reason::

        exclusions = {"test_every_value_is_that_of_the_golden_network": "the ADC rounds membranes"}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nmcompiler.backend import API_VERSION, Backend
from nmcompiler.codings import CODINGS, coding
from nmcompiler.errors import DoesNotFit
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.ir.bounds import accumulator_bound
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.network import Network
from nmcompiler.ir.spiking import Spiking
from nmcompiler.program.container import load, save
from nmcompiler.program.layout import Program
from nmcompiler.program.lift import check_lift
from nmcompiler.program.structure import fault
from nmcompiler.program.usage import core_usage
from nmcompiler.registry import backend
from nmcompiler.sim import Record, RunResult
from nmcompiler.target import (
    CoreType,
    Limits,
    Mesh,
    Target,
    target_from_document,
    target_from_toml,
    target_to_document,
    target_to_toml,
)
from nmcompiler.testing.chain import placed_program
from nmcompiler.testing.networks import random_samples
from nmcompiler.testing.suited import suited_network

if TYPE_CHECKING:
    import pytest

__all__ = ["BackendConformance"]

_TRIES = 30  # random networks that are tried for each one that a chip can hold
_RATE_LEVELS = 7
_RATE_STEPS = 255


@dataclass(frozen=True, eq=False)
class _Case:
    """A network on a chip: its seed, the program, the golden network and samples for it."""

    seed: int
    network: Network
    program: Program
    spiking: Spiking
    samples: Mapping[str, Array]


class BackendConformance:
    """Base class of a backend's tests; a subclass sets ``backend_name``.

    Attributes:
        backend_name: Name of the entry point.
        exclusions: Test that does not apply → reason; such a test is skipped.
        networks: Random networks for every target and code.
        samples: Samples for every network.
    """

    backend_name: ClassVar[str]
    exclusions: ClassVar[Mapping[str, str]] = {}
    networks: ClassVar[int] = 3
    samples: ClassVar[int] = 12

    def setup_method(self, method: Any) -> None:
        """Skips a test that is excluded."""
        if method.__name__ in self.exclusions:
            import pytest

            pytest.skip(self.exclusions[method.__name__])

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Runs a test for every target of the backend, or for every target and code that it declares."""
        chips = backend(self.backend_name).targets()
        if "code" in metafunc.fixturenames:
            pairs = [(name, code) for name, chip in chips.items() for code in chip.codings]
            metafunc.parametrize(("chip", "code"), pairs, ids=[f"{chip}-{code}" for chip, code in pairs])
        elif "chip" in metafunc.fixturenames:
            metafunc.parametrize("chip", list(chips))

    @property
    def backend(self) -> Backend:
        """The backend."""
        return backend(self.backend_name)

    def target(self, name: str) -> Target:
        """Returns a chip of the backend."""
        return self.backend.targets()[name]

    def cases(self, chip: str, code: str) -> tuple[_Case, ...]:
        """Returns random networks that fit the chip, compiled in a code."""
        return _cases(self.backend_name, chip, code, self.networks, self.samples)

    # --- the backend and its targets ---------------------------------------------------------------------

    def test_exclusions_name_tests_and_give_reasons(self) -> None:
        """An exclusion of a test that does not exist would hide that it was renamed."""
        for name, reason in self.exclusions.items():
            assert name.startswith("test_"), f"the exclusion '{name}' is no test"
            assert hasattr(self, name), f"the exclusion '{name}' is no test"
            assert reason.strip(), f"the exclusion '{name}' gives no reason"

    def test_it_implements_the_protocol_under_its_own_name(self) -> None:
        """The name of the entry point is the backend's, and the version is that of this package."""
        made = self.backend
        assert isinstance(made, Backend)
        assert made.name == self.backend_name
        assert made.api == API_VERSION
        assert made.targets(), "a backend without targets compiles nothing"

    def test_every_target_is_known_under_its_name_and_compiled_by_this_backend(self, chip: str) -> None:
        """A program finds its simulator by its target's backend."""
        assert self.target(chip).name == chip
        assert self.target(chip).backend == self.backend_name

    def test_every_target_is_the_same_after_writing_and_reading(self, chip: str) -> None:
        """As a TOML file, and as the JSON document inside a program."""
        target = self.target(chip)
        assert target_from_toml(target_to_toml(target), chip) == target
        assert target_from_document(json.loads(json.dumps(target_to_document(target))), chip) == target

    def test_every_declared_code_exists_and_has_an_input_encoding(self, chip: str) -> None:
        """A target declares only codes that can run on it."""
        target = self.target(chip)
        for name in target.codings:
            assert name in CODINGS, f"unknown code '{name}'"
            common = set(coding(name).input_encodings) & set(target.input_encodings)
            assert common, f"no input encoding of '{name}' is one of the target's"

    def test_every_published_figure_has_a_source(self, chip: str) -> None:
        """What nobody published is absent, never 0."""
        target = self.target(chip)
        figures = {**target.figures, **({"step_us": target.step_us} if target.step_us else {})}
        for key, figure in figures.items():
            assert figure.value > 0, f"{key} is {figure.value}"
            assert figure.source.strip(), f"{key} has no source"

    # --- programs ------------------------------------------------------------------------------------------

    def test_networks_without_obstacles_fit(self, chip: str, code: str) -> None:
        """Enough of the random networks can be held at all."""
        assert len(self.cases(chip, code)) == self.networks

    def test_every_program_is_well_formed_and_for_its_target(self, chip: str, code: str) -> None:
        """The arrays are those of the program format."""
        for case in self.cases(chip, code):
            assert fault(case.program) is None
            assert case.program.target == self.target(chip)
            assert case.program.coding == code

    def test_lift_reads_the_golden_network_back(self, chip: str, code: str) -> None:
        """The placed program is the network: proved without any data."""
        for case in self.cases(chip, code):
            report = check_lift(case.program, case.spiking)
            assert report.ok, f"network {case.seed}: {report.message}"

    def test_no_limit_of_a_core_is_broken(self, chip: str, code: str) -> None:
        """Counted in the program, not taken from the mapper's word."""
        for case in self.cases(chip, code):
            assert core_usage(case.program).broken() == [], f"network {case.seed}"

    def test_legalised_networks_leave_no_obstacle(self, chip: str, code: str) -> None:
        """What the backend says of a network holds for the one that it compiles."""
        for case in self.cases(chip, code):
            left = self.backend.obstacles(case.spiking.network, coding(code), self.target(chip))
            assert left == (), f"network {case.seed}"

    def test_compiling_twice_gives_the_same_bytes(self, chip: str, code: str, tmp_path: Path) -> None:
        """Same network, same seed, same program."""
        for case in self.cases(chip, code)[:1]:
            again, _ = _place(self.backend, case.network, self.target(chip), code, case.seed)
            save(case.program, tmp_path / "first.nmc")
            save(again, tmp_path / "second.nmc")
            assert (tmp_path / "first.nmc").read_bytes() == (tmp_path / "second.nmc").read_bytes()

    def test_a_saved_program_runs_as_before(self, chip: str, code: str, tmp_path: Path) -> None:
        """Nothing that decides a spike stays outside the file."""
        for case in self.cases(chip, code)[:1]:
            save(case.program, tmp_path / "saved.nmc")
            before = self.run(case.program, case.samples)
            after = self.run(load(tmp_path / "saved.nmc"), case.samples)
            assert _counters(before) == _counters(after)
            assert all(map(np.array_equal, before.outputs, after.outputs))

    def test_export_writes_what_it_says_and_nothing_else(self, chip: str, code: str, tmp_path: Path) -> None:
        """Files of the maker's tools lie in the folder that was asked for."""
        for case in self.cases(chip, code)[:1]:
            written = self.backend.export(case.program, tmp_path)
            assert sorted(written) == sorted(p for p in tmp_path.rglob("*") if p.is_file())

    # --- runs ----------------------------------------------------------------------------------------------

    def run(self, program: Program, samples: Mapping[str, Array], **options: Any) -> RunResult:
        """Runs a program on the backend's own simulator."""
        simulator = self.backend.simulator(program)
        return simulator.run(samples, record=Record(values=True, membranes=True), **options)

    def test_every_value_is_that_of_the_golden_network(self, chip: str, code: str) -> None:
        """Outputs, activations, membranes and spikes of the exact codes, on every sample."""
        for case in self.cases(chip, code):
            result = self.run(case.program, case.samples)
            assert result.samples == self.samples
            if coding(code).exact:
                assert list(_differences(case, result)) == [], f"network {case.seed}"
                assert result.saturations == 0

    def test_runs_do_not_depend_on_threads(self, chip: str, code: str) -> None:
        """Same program, same samples, same spikes."""
        for case in self.cases(chip, code)[:1]:
            one, two = (self.run(case.program, case.samples, threads=n) for n in (1, 2))
            assert _counters(one) == _counters(two)
            assert all(map(np.array_equal, one.outputs, two.outputs))

    def test_a_stream_gives_what_its_frames_give_alone(self, chip: str, code: str) -> None:
        """Where code and chip can send changes: fewer events, and every result as without a stream."""
        for case in self.cases(chip, code):
            if not _can_stream(case, self.target(chip), code):
                continue
            frames = {name: np.repeat(x, 2, axis=0) for name, x in case.samples.items()}
            alone, stream = self.run(case.program, frames), self.run(case.program, frames, stream=True)
            assert all(map(np.array_equal, alone.outputs, stream.outputs)), f"network {case.seed}"
            assert all(map(np.array_equal, alone.values or (), stream.values or ())), f"network {case.seed}"
            assert stream.synops < alone.synops, f"network {case.seed}"

    def test_a_network_that_is_too_large_is_refused_with_numbers(self, chip: str, code: str) -> None:
        """On a chip of one core for a single neuron."""
        target = self.target(chip)
        single = CoreType(1, Limits(neurons=target.compartments_per_neuron))
        one = replace(target, core_types=(single,), mesh=Mesh(1, 1), max_chips=1)
        case = self.cases(chip, code)[0]
        import pytest

        with pytest.raises(DoesNotFit) as refused:
            _place(self.backend, case.network, one, code, case.seed)
        refusal = refused.value
        assert refusal.layer in case.spiking.network.graph.names()
        assert refusal.used > refusal.limit >= 0
        assert refusal.resource
        assert refusal.hint


def _place(made: Backend, network: Network, target: Target, code: str, seed: int) -> tuple[Program, Spiking]:
    steps = None if coding(code).windowed else _RATE_STEPS
    return placed_program(network, target, code, backend=made, seed=seed, timesteps=steps)


@cache
def _cases(name: str, chip: str, code: str, count: int, samples: int) -> tuple[_Case, ...]:
    """Returns ``count`` random networks that the chip can hold, or all of those tried that it can."""
    made = backend(name)
    target = made.targets()[chip]
    found: list[_Case] = []
    for seed in range(count * _TRIES):
        network = suited_network(seed, target, levels=None if coding(code).windowed else _RATE_LEVELS)
        try:
            program, spiking = _place(made, network, target, code, seed)
        except DoesNotFit:
            continue
        if not _fits(made, spiking.network, target, code):
            continue
        drawn = random_samples(spiking.network, seed, samples)
        found.append(_Case(seed, network, program, spiking, drawn))
        if len(found) == count:
            break
    return tuple(found)


def _fits(made: Backend, network: Network, target: Target, code: str) -> bool:
    """Whether nothing stands against the network and no membrane can saturate."""
    names = [p.name for p in network.graph if p.role != "input"]
    room = target.membrane_max - 2
    return not made.obstacles(network, coding(code), target) and all(
        accumulator_bound(network, name) <= room for name in names
    )


def _can_stream(case: _Case, target: Target, code: str) -> bool:
    limit, chosen = target.graded_payload_bits or 0, coding(code)
    sending = [p for p in case.spiking.network.graph if p.sends]
    bits = max(chosen.payload_bits(p.levels, p.signed, changes=True) for p in sending)
    return chosen.streams and target.signed_spikes and bits <= limit


def _counters(result: RunResult) -> tuple[Any, ...]:
    return result.synops, result.hops, result.saturations, result.spikes.tolist()


def _differences(case: _Case, result: RunResult) -> Iterator[str]:
    """Yields a sentence for everything in which a run and the golden network differ."""
    network = case.spiking.network
    golden = run_integer(network, case.samples, record=True)
    assert result.membranes is not None
    assert result.values is not None
    for port, read in zip(case.program.outputs, result.outputs, strict=True):
        if not np.array_equal(port.read(read), golden.outputs[port.name].reshape(len(read), -1)):
            yield f"output '{port.name}'"
    for number, population in enumerate(network.graph):
        name, values = population.name, result.values[number]
        membranes = result.membranes[number]
        if population.role != "input" and not np.array_equal(
            membranes, golden.membranes[name].reshape(membranes.shape)
        ):
            yield f"membranes of '{name}'"
        if population.sends:
            expected = golden.values[name].reshape(values.shape)
            if not np.array_equal(values, expected):
                yield f"activations of '{name}'"
            spikes = coding(case.program.coding).spikes_per_value(population.levels)
            if int(result.spikes[number]) != int(spikes[np.abs(expected)].sum()):
                yield f"spikes of '{name}'"
