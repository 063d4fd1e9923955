"""The ANN and the spiking network from one table: counted by hand."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from nmcompiler.frontend.reader import read_model
from nmcompiler.report.ann import AnnLayer, SpikingCounts, ann_facts, ann_layers, stored_layers

DATA = Path(__file__).parent.parent / "data"
LAYER = AnnLayer("fc", macs=1000, additions=0, weights=1000, reads=100, writes=10, from_input=False)
COUNTS = SpikingCounts(synops=500.0, multiplied=0.0, spikes=40.0, updates=0.0, density=0.5)
SIZES = {
    "weight_bits": 8,
    "levels": 255,
    "input_levels": 255,
    "state_bits": 24,
    "core_weight_bytes": 1000,
}


def facts(layers=(LAYER,), counts=COUNTS, **changes):
    return ann_facts(layers, counts, **{**SIZES, **changes})


def test_an_ann_reads_weight_and_value_multiplies_adds_and_writes():
    # 1000 · (2.5 + 2.5 + 0.2 + 0.1) + 10 · (2.5 + 3 + 0.1) pJ
    assert facts()["energy_uj"] == pytest.approx((5300 + 56) * 1e-6)
    # weights and values once: 1000 · 2.5 + 100 · 2.5 + 1000 · 0.3 + 56
    assert facts()["reused_uj"] == pytest.approx((2500 + 250 + 300 + 56) * 1e-6)
    assert facts()["zero_skipping_uj"] == pytest.approx((2650 + 56) * 1e-6)
    assert facts(counts=replace(COUNTS, density=None))["zero_skipping_uj"] is None


def test_a_spike_reads_weight_and_bit_and_adds():
    found = facts(counts=replace(COUNTS, updates=100.0))
    # 500 · (2.5 + 2.5 / 8 + 0.1), 40 · (2.5 / 8 + 0.1), 100 · (2 · 3 · 2.5 + 0.1)
    assert found["snn_parts_uj"] == pytest.approx(
        {"synops": 1456.25e-6, "spikes": 16.5e-6, "updates": 1510e-6}
    )
    assert found["snn_uj"] == pytest.approx((1456.25 + 16.5 + 1510) * 1e-6)


def test_an_event_with_a_value_is_multiplied():
    found = facts(counts=replace(COUNTS, synops=0.0, multiplied=500.0))
    assert found["snn_parts_uj"]["synops"] == pytest.approx(500 * (2.5 + 2.5 + 0.2 + 0.1) * 1e-6)


def test_weights_that_fill_a_core_are_read_from_the_large_memory_by_both():
    found = facts(core_weight_bytes=32_769)
    assert found["memory"] == "large_sram"
    assert found["energy_uj"] == pytest.approx((5300 + 56 + 10_000) * 1e-6)
    assert found["snn_parts_uj"]["synops"] == pytest.approx((1456.25 + 5000) * 1e-6)


def test_narrow_weights_and_values_are_cheaper_and_wide_ones_multiply_dearly():
    # weights and values of 4 bits: half a byte each
    assert facts(weight_bits=4, levels=15)["energy_uj"] == pytest.approx((2800 + 10 * 4.35) * 1e-6)
    assert facts(weight_bits=9)["energy_uj"] == pytest.approx((1000 * (2.5 * 9 / 8 + 2.5 + 3.1) + 56) * 1e-6)
    first = replace(LAYER, from_input=True)
    assert facts([first], levels=15)["energy_uj"] == pytest.approx((5300 + 10 * 4.35) * 1e-6)


@pytest.mark.parametrize("updates", [0.0, 100.0])
def test_at_the_break_even_both_cost_the_same(updates):
    counts = replace(COUNTS, updates=updates)
    found = facts(counts=counts)
    assert found["spikes_per_synapse"] == 0.5
    for name, key in (
        ("break_even", "energy_uj"),
        ("break_even_zero_skipping", "zero_skipping_uj"),
        ("break_even_reused", "reused_uj"),
    ):
        scale = found[name] / found["spikes_per_synapse"]
        scaled = replace(counts, synops=counts.synops * scale, spikes=counts.spikes * scale)
        assert facts(counts=scaled)["snn_uj"] == pytest.approx(found[key])


def test_where_the_updates_alone_cost_more_there_is_no_break_even():
    assert facts(counts=replace(COUNTS, updates=1e6))["break_even"] is None


def test_break_even_is_near_the_published_ratio_where_only_products_count():
    """Ottati et al. give 1.84 · density with sums of 8 bits; sums of 32 bits add 0.07 pJ to both."""
    layer = replace(LAYER, macs=10**9, weights=10**9)
    found = facts([layer], replace(COUNTS, spikes=0.0, density=0.3))
    assert found["break_even_zero_skipping"] == pytest.approx(1.84 * 0.3, rel=0.02)


def test_the_products_of_a_file_are_those_that_the_frontend_counts():
    for name in ("resnet8.onnx", "mobile.onnx"):
        model = read_model(DATA / name)
        rows = ann_layers(model)
        assert sum(row.macs for row in rows) == model.macs
        assert all(row.macs or row.additions for row in rows)
        sizes = {layer.name: layer.size for layer in model.graph}
        assert all(row.writes == sizes[row.name] for row in rows)


def test_sums_and_pools_add_and_do_not_multiply():
    rows = {row.name: row for row in ann_layers(read_model(DATA / "resnet8.onnx"))}
    adds = [row for row in rows.values() if not row.macs]
    assert adds
    assert all(row.weights == 0 and row.additions >= row.writes for row in adds)


def test_layers_of_a_program_are_believed_only_where_they_are_well_formed():
    assert stored_layers([asdict(LAYER)]) == [LAYER]
    bad = {**asdict(LAYER), "macs": "many"}
    for stored in (None, [], [1], [{}], [bad], [{**asdict(LAYER), "macs": -1}], "layers", {"a": 1}):
        assert stored_layers(stored) is None
