import subprocess
import sys

import pytest

import nmcompiler


def test_every_public_name_can_be_had():
    for name in nmcompiler.__all__:
        assert getattr(nmcompiler, name) is not None
    assert dir(nmcompiler) == sorted(nmcompiler.__all__)


def test_names_are_those_of_their_homes():
    from nmcompiler.compiler import compile_model, run_program
    from nmcompiler.errors import NmcError
    from nmcompiler.target import Target

    assert nmcompiler.compile is compile_model
    assert nmcompiler.run is run_program
    assert nmcompiler.NmcError is NmcError
    assert nmcompiler.Target is Target


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'complie'"):
        nmcompiler.complie  # noqa: B018


@pytest.mark.parametrize("module", ["nmcompiler", "nmcompiler.cli.main"])
def test_importing_costs_nothing(module):
    script = (
        f"import sys, {module}; heavy = {{'numpy', 'numba', 'onnx', 'onnxruntime', 'networkx', 'rich'}}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_testing_tools_do_not_need_pytest():
    script = (
        "import sys, nmcompiler.testing; sys.exit('pytest' in sys.modules or 'hypothesis' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
