"""Costs of single boxes, against those of grids."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.pieces import BoxCosts
from nmcompiler.mapping.reach import cut, grid_box
from nmcompiler.mapping.search import Outputs, grid_needs
from tests.mapping.mapping_oracle import chip, networks


@given(
    networks(),
    st.booleans(),
    st.sampled_from(["neuron", "pixel"]),
    st.sampled_from(["weights", "power_of_two"]),
    st.booleans(),
    st.data(),
)
@settings(max_examples=30, deadline=None)
def test_a_box_costs_what_it_does_in_a_grid(builder, sharing, unit, memory, copies, data):
    target = replace(chip(sharing=sharing, axon_unit=unit), kernel_memory=memory, compartments_per_neuron=2)
    for needs in network_needs(builder.spiking(), target).populations.values():
        rng = np.random.default_rng(data.draw(st.integers(0, 9)))
        built = rng.integers(1, 4, needs.shape) if copies else None
        outputs = Outputs(rng.integers(0, 5, needs.shape), built)
        cuts = cut(needs.shape, tuple(data.draw(st.integers(1, n)) for n in needs.shape))
        costs = BoxCosts(needs, outputs)
        grid = {resource: cost(cuts) for resource, cost in grid_needs(needs, outputs).items()}
        for index in np.ndindex(*(len(bounds) - 1 for bounds in cuts)):
            piece = costs.piece(grid_box(cuts, index))
            assert piece.used == {resource: int(cost[index]) for resource, cost in grid.items()}
            assert piece.thetas == needs.thetas(piece.box)
            for number, wire in enumerate(needs.wires):
                assert costs.synapses(number, piece.box) == wire.reach.synapses(cuts)[index]
