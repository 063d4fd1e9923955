"""Kernels as machine code against numpy, and the one place that compiles them."""

import runpy
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS
from nmcompiler.sim import jit as jit_module
from nmcompiler.sim import kernels
from nmcompiler.sim.jit import compile_seconds, jit


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 2**20),
    st.integers(-(2**30), 2**30),
    st.sampled_from([np.int32, np.int64]),
    st.integers(0, 1),
)
def test_quantise_is_the_exact_floor_at_and_around_every_step(theta, around, dtype, above):
    k = around // theta
    acc = np.array([k * theta + d for d in (-theta, -1, 0, 1, theta - 1)], np.int64)
    values = np.zeros(len(acc), np.int32)
    thetas = np.full(len(acc), theta, np.float64)
    limit = 2**30
    jit(kernels.quantise)(acc.astype(dtype), thetas, above, -limit, limit, values, 1)
    assert np.array_equal(values, np.clip((acc - above) // theta, -limit, limit))


def test_quantise_is_exact_up_to_fifty_two_bits():
    theta = 3
    acc = np.array([2**52 - 1, 2**52 - 2, -(2**52) + 1], np.int64) // theta * theta + np.array([0, -1, -1])
    values = np.zeros(3, np.int32)
    for k, v in enumerate(acc.tolist()):
        q = v // theta
        shifted = np.array([v - (q - 5) * theta], np.int64)
        jit(kernels.quantise)(shifted, np.array([3.0]), 0, -9, 9, values[k : k + 1], 1)
    assert values.tolist() == [5, 5, 5]
    largest = np.array([2**31 * (2**20) - 1, 2**31 * (2**20)], np.int64)
    out = np.zeros(2, np.int32)
    jit(kernels.quantise)(largest, np.full(2, 2.0**20), 0, 0, 2**31 - 1, out, 1)
    assert out.tolist() == [2**31 - 1, 2**31 - 1]


@pytest.mark.parametrize("name", sorted(CODINGS))
def test_a_code_gives_the_same_as_machine_code_and_as_python(name):
    code = CODINGS[name]
    rng = np.random.default_rng(0)
    n, theta, current = 40, rng.integers(1, 9, 4), rng.integers(-3, 4, 4)
    state = [rng.integers(-40, 41, n) for _ in range(2)] + [np.zeros(n, np.int64), np.zeros(n, np.int32)]
    compiled = [a.copy() for a in state]
    saturations = [0, 0]
    for step in range(3):
        arrivals = rng.integers(-30, 31, n)
        for k, (v, dendrite, aux, out), integrate, fire in (
            (0, state, code.integrate, code.fire),
            (1, compiled, jit(code.integrate), jit(code.fire)),
        ):
            saturations[k] += integrate(arrivals, v, dendrite, current, 4, 1, step % 2, -32, 31)
            fire(v, aux, out, theta, 4, step, 3, 7, 1, 1)
        assert all(np.array_equal(a, b) for a, b in zip(state, compiled, strict=True))
    assert saturations[0] == saturations[1] > 0


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000])
def test_entries_that_differ_are_counted(dtype, size):
    rng = np.random.default_rng(size)
    a = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, size, dtype=dtype)
    b = a.copy()
    assert jit(kernels.differ)(a, b) == 0
    places = rng.permutation(size)[: size // 2]
    b[places] ^= dtype(1) << rng.integers(0, 8 * a.itemsize, len(places)).astype(dtype)
    assert jit(kernels.differ)(a, b) == len(places)
    if size:
        b[:] = a
        b[-1] ^= 1
        assert jit(kernels.differ)(a, b) == 1


def test_a_function_is_compiled_once():
    assert jit(kernels.tally) is jit(kernels.tally)


def test_compiling_takes_time_and_is_measured(tmp_path):
    """The function lies in a new file, so that no cache holds it."""
    file = tmp_path / "double.py"
    file.write_text("def double(x):\n    return 2 * x\n")
    double = runpy.run_path(str(file))["double"]
    before = compile_seconds()
    assert jit(double)(21) == 42
    first = compile_seconds()
    assert jit(double)(4) == 8
    assert compile_seconds() == first > before


def test_a_read_only_home_compiles_without_cache_and_warns_once(monkeypatch):
    import numba

    true = numba.njit
    jit_module._warn_uncached.cache_clear()

    def njit(*, cache=False, **options):
        def compile_it(function):
            if cache:
                raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
            return true(**options)(function)

        return compile_it

    monkeypatch.setattr(numba, "njit", njit)

    def one() -> int:
        return 1

    def two() -> int:
        return 2

    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR") as told:
        assert jit(one)() + jit(two)() == 3
    assert len(told) == 1


def test_code_is_kept_by_a_name_that_changes_with_the_vector_code(monkeypatch):
    module, names = sys.modules["nmcompiler.sim.jit"], []
    for digest in ("one", "other"):
        monkeypatch.setattr(module, "_digest", lambda digest=digest: digest)
        names.append(jit.__wrapped__(kernels.differ).py_func.__qualname__)
    assert names == ["differ.one", "differ.other"]


def test_other_errors_of_numba_are_not_hidden(monkeypatch):
    import numba

    def njit(**options):
        raise RuntimeError("something else")

    monkeypatch.setattr(numba, "njit", njit)
    with pytest.raises(RuntimeError, match="something else"):
        jit(lambda: 1)


@pytest.mark.parametrize(
    "package",
    ["nmcompiler.sim", "nmcompiler.cli", "nmcompiler.program", "nmcompiler.mapping", "nmcompiler.passes"],
)
def test_importing_imports_neither_numba_nor_llvm_nor_scipy(package):
    script = (
        "import importlib, pkgutil, sys\n"
        f"package = importlib.import_module('{package}')\n"
        "for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    if module.name.split('.')[-1] not in "
        "('anneal', 'anneal_atoms', 'anneal_pairs', 'chance', 'lanes', 'rows', 'vectors'):\n"
        "        importlib.import_module(module.name)\n"
        "sys.exit(', '.join({'numba', 'llvmlite', 'scipy'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_only_a_run_imports_the_lanes():
    """A compilation proves that registers suffice, and makes no code of its own for it."""
    script = (
        "import sys\n"
        "from nmcompiler.sim import Simulator\n"
        "from nmcompiler.testing import random_network, random_samples, tiny_target\n"
        "from nmcompiler.testing.chain import placed_program\n"
        "known = lambda: 'nmcompiler.sim.lanes' in sys.modules\n"
        "network = random_network(5)\n"
        "simulator = Simulator(placed_program(network, tiny_target(max_chips=4), 'phase')[0])\n"
        "simulator.certificate.windowed\n"
        "proved = known()\n"
        "simulator.run(random_samples(network, 0, 5))\n"
        "sys.exit(f'{proved} {known()}' if proved or not known() else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
