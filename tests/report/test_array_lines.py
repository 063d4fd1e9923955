from __future__ import annotations

from nmcompiler.report.array_lines import array_lines

ARRAY = {"evidence": "modelled", "source": "a paper"}


def test_what_was_never_published_is_said_to_be_so():
    said = dict(array_lines(ARRAY))
    assert said["varies (deviation / mean)"] == "nothing that was published (modelled: a paper)"
    assert said["membranes"] == "do not leak"
    assert said["trims"] == "none"
    assert "outputs" not in said


def test_mismatch_leak_and_trims_are_said_with_their_numbers():
    full = {
        **ARRAY,
        "weight_cv": 0.2,
        "time_constant_cv": 0.1,
        "tau_steps": 8.0,
        "adc_bits": 8,
        "digital_terms": 4,
        "synapse_copies": 3,
        "temporal_noise": 0.05,
        "threshold_dac": {"bits": 5, "span": 0.75},
        "bias_dac": {"bits": 4, "span": 2.0},
    }
    said = dict(array_lines(full))
    assert said["varies (deviation / mean)"].startswith("weights 0.2, time constants 0.1 (")
    assert said["membranes"] == "leak with a time constant of 8 steps"
    assert said["outputs"] == "membranes are read in codes of 8 bits"
    assert "4 whole numbers" in said["router"]
    assert "up to 3 synapses" in said["copies"]
    assert said["noise"].startswith("0.05 of a threshold")
    assert said["trims"] == (
        "thresholds ± 0.75 thresholds in 5 bits, one per neuron; biases ± 2 levels in 4 bits, one per neuron"
    )
