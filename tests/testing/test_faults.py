"""Planted faults: the network stays well formed, the original as it was, and the answers change."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.evaluate.integer import decode_outputs, run_integer
from nmcompiler.ir.verify import complaints
from nmcompiler.testing import random_network, random_samples
from nmcompiler.testing.faults import NETWORK_FAULTS, network_fault, places


@pytest.mark.parametrize("kind", NETWORK_FAULTS)
def test_a_faulty_network_is_well_formed_and_answers_otherwise(kind: str) -> None:
    planted = changed = 0
    for seed in range(12):
        network = random_network(seed)
        x = random_samples(network, seed, 8)
        before = decode_outputs(network, run_integer(network, x).outputs)
        for layer in places(network):
            made = network_fault(kind, network, layer, seed)
            if made is None:
                continue
            faulty, fault = made
            assert complaints(faulty) == complaints(network)
            assert (fault.kind, fault.layer) == (kind, layer)
            after = decode_outputs(faulty, run_integer(faulty, x).outputs)
            planted += 1
            changed += any(not np.allclose(before[name], after[name]) for name in before)
        again = decode_outputs(network, run_integer(network, x).outputs)
        assert all(np.array_equal(before[name], again[name]) for name in before)
    assert planted >= 4
    assert changed >= planted / 4


def test_equal_seeds_give_equal_faults() -> None:
    network = random_network(3)
    made = [network_fault("source channels exchanged", network, name, 7) for name in places(network)]
    again = [network_fault("source channels exchanged", network, name, 7) for name in places(network)]
    assert [m and m[1] for m in made] == [m and m[1] for m in again]
