"""What pieces read, against masks of their sources."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.ir.cores import Box
from nmcompiler.mapping.areas import area, joined, size, union_size
from nmcompiler.mapping.reach import axons, reach
from tests.mapping.mapping_oracle import kernels, shapes


@st.composite
def boxes(draw, shape):
    ends = []
    for n in shape:
        first = draw(st.integers(0, n - 1))
        ends += [first, draw(st.integers(first + 1, n))]
    return Box(*ends)


@given(st.data(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_union_of_what_boxes_read_is_counted_as_in_a_mask(data, pixels):
    source = data.draw(shapes())
    mask, areas = np.zeros(source, bool), ()
    for _ in range(data.draw(st.integers(1, 5))):
        target = data.draw(shapes())
        reached = reach(data.draw(kernels(source, target)), source, target)
        box, alone = data.draw(boxes(target)), np.zeros(source, bool)
        reached.mark(mask, box)
        reached.mark(alone, box)
        one = area(reached, box)
        assert (one is None) == (not alone.any())
        if one is not None:
            assert size(one, pixels=pixels) >= axons(alone, pixels=pixels)
            areas = joined(areas, [one])
    assert (union_size(areas, source, pixels=pixels) if areas else 0) == axons(mask, pixels=pixels)
    again = joined(areas, [a for a in areas if hasattr(a, "rows")])
    assert again is areas, "what is there is not added again"
