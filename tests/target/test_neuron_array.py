from __future__ import annotations

import pytest

from nmcompiler.errors import TargetFileError
from nmcompiler.registry import backend
from nmcompiler.target import TrimDac, target_from_toml, target_to_toml

ARRAYS = tuple(n for n, t in backend("mixed-signal").targets().items() if t.neuron_array is not None)


def text_of(name):
    return target_to_toml(backend("mixed-signal").targets()[name])


def test_three_arrays_are_shipped():
    assert len(ARRAYS) == 3


@pytest.mark.parametrize("name", ARRAYS)
def test_what_is_written_is_read_back(name):
    target = backend("mixed-signal").targets()[name]
    assert target_from_toml(text_of(name), "again.toml") == target
    assert target.neuron_array.source
    assert not target.signed_spikes


def test_codes_of_a_dac_lie_around_no_trim():
    dac = TrimDac(bits=5, span=0.75)
    assert (dac.lowest, dac.highest) == (-16, 15)
    assert dac.lowest * dac.step == -0.75


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("weight_cv = 0.2", "weight_cv = -0.1"), "neuron_array.weight_cv' is -0.1"),
        (("gain_cv = 0.2", "gain_cv = 1.5"), "0 to 1"),
        (("adc_bits = 8", "adc_bits = 1"), "neuron_array.adc_bits' is 1"),
        (("adc_bits = 8\n", ""), "membrane without adc_bits"),
        (("bits = 5\nspan = 0.75", "bits = 13\nspan = 0.75"), "threshold_dac.bits' is 13"),
        (("span = 2.0", "span = 0.0"), "bias_dac.span' is 0"),
        (("weight_sharing = false", "weight_sharing = true"), "a synapse has one weight"),
        (("signed_spikes = false", "signed_spikes = true"), "analog neurons only spike"),
        (('reset = "subtract"', 'reset = "zero"'), '"subtract"'),
        (('evidence = "modelled"', 'evidence = "guessed"'), "evidence' is 'guessed'"),
        (("gain_cv = 0.2", "gain_cv = 0.2\ntau_steps = 8.0"), "values need to be kept"),
        (("gain_cv = 0.2", "gain_cv = 0.2\ntau_steps = 1.9"), "2 or more"),
        (("digital_terms = 0", "digital_terms = -1"), "digital_terms' is -1"),
        (("gain_cv = 0.2", "gain_cv = 0.2\ntemporal_noise = -0.1"), "temporal_noise' is -0.1"),
        (("synapse_copies = 8", "synapse_copies = 0"), "synapse_copies' is 0"),
    ],
)
def test_a_wrong_description_of_an_array_says_what_is_wrong(change, found):
    text = text_of("generic-analog")
    assert change[0] in text
    with pytest.raises(TargetFileError) as refused:
        target_from_toml(text.replace(*change), "mine.toml")
    assert found in refused.value.sentence()
