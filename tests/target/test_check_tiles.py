from __future__ import annotations

import pytest

from nmcompiler.errors import TargetFileError
from nmcompiler.registry import backend
from nmcompiler.target import target_from_toml, target_to_toml

TILES = tuple(n for n, t in backend("mixed-signal").targets().items() if t.conductance_tiles is not None)


@pytest.mark.parametrize("name", TILES)
def test_what_is_written_is_read_back(name):
    target = backend("mixed-signal").targets()[name]
    assert target_from_toml(target_to_toml(target), "again.toml") == target


def test_columns_of_synapses_have_one_scale():
    scaled = {n: backend("mixed-signal").targets()[n].conductance_tiles.scales_columns for n in TILES}
    assert scaled == {"brainscales2-mac": False, "pcm-crossbar": True, "rram-crossbar": True}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("rows = 256", "rows = 0"), "conductance_tiles.rows' is 0"),
        (("columns = 256", "columns = 128"), "core_types[0].limits.neurons' is 256"),
        (("tiles_per_core = 16", "tiles_per_core = 2"), "core_types[0].limits.input_axons' is 4096"),
        (("adc_bits = 8", "adc_bits = 1"), "2 to 24"),
        (("adc_deviations = 4.0", "adc_deviations = 0.0"), "adc_deviations' is 0"),
        (("read_after_s = 86400.0", "read_after_s = -1.0"), "read_after_s' is -1"),
        (("read_after_s = 86400.0", ""), "read_after_s' is missing"),
        (('device = "pcm"', 'device = "synapse"'), 'is given beside device = "synapse"'),
        (("adc_bits = 8", "adc_bits = 8\nweight_cv = 0.2"), "weight_cv' is given beside device"),
        (("input_bits = 1", "input_bits = 9"), "1 to 8"),
        (("input_bits = 1", "input_bits = 2"), "one binary digit at a time"),
        (("weight_sharing = false", "weight_sharing = true"), "a device is one synapse"),
        (('device = "pcm"', 'device = "pcn"'), "did you mean 'pcm'"),
        (('evidence = "modelled"', 'evidence = "guessed"'), "evidence' is 'guessed'"),
    ],
)
def test_a_wrong_description_of_tiles_says_what_is_wrong(change, found):
    text = target_to_toml(backend("mixed-signal").targets()["pcm-crossbar"])
    assert change[0] in text
    with pytest.raises(TargetFileError) as refused:
        target_from_toml(text.replace(*change), "mine.toml")
    assert found in refused.value.sentence()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("weight_cv = 0.2", "weight_cv = 1.2"), "weight_cv' is 1.2"),
        (("gain_cv = 0.2", "gain_cv = -0.2"), "gain_cv' is -0.2"),
        (('device = "synapse"', 'device = "synapses"'), "did you mean 'synapse'"),
    ],
)
def test_a_wrong_description_of_synapses_says_what_is_wrong(change, found):
    text = target_to_toml(backend("mixed-signal").targets()["brainscales2-mac"])
    assert change[0] in text
    with pytest.raises(TargetFileError) as refused:
        target_from_toml(text.replace(*change), "mine.toml")
    assert found in refused.value.sentence()
