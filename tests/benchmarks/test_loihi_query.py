import pytest

from tests.benchmarks.loihi_query import INPUT_SPIKES, PATTERNS, STEPS, query


@pytest.mark.parametrize("spikes", INPUT_SPIKES)
def test_a_query_on_the_simulated_chip_costs_what_was_measured_on_silicon(spikes):
    found = query(64, spikes)
    # every input spikes once and reaches every neuron; every neuron is updated in every step
    assert found.steps == STEPS
    assert found.input_spikes == spikes
    assert found.counts["synops"] == spikes * PATTERNS
    assert found.counts["inactive updates"] == STEPS * PATTERNS
    assert "active updates" not in found.counts
    assert abs(found.deviation) < 0.25
