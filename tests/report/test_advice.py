"""What would help: every figure in it follows from the figures it is given."""

from __future__ import annotations

from nmcompiler.program.usage import block_facts, core_usage
from nmcompiler.report.advice import help_sentences
from nmcompiler.report.cuts import cut_facts, network_rows
from nmcompiler.report.facts import population_names
from nmcompiler.report.needs import Needs, needs_of
from nmcompiler.testing import random_network, tiny_target
from nmcompiler.testing.chain import placed_program


def row(name, need, cores, fullest_on, used=None):
    return {"resource": name, "need": need, "used": used or need, "cores": cores, "fullest_on": fullest_on}


def cut(name, rows=4):
    return {"layer": name, "shape": {"channels": 2, "rows": rows, "columns": 1}}


def needs(name, *amounts):
    layers = {k: {name: amount} for k, amount in enumerate(amounts)}
    return Needs(layers, {name: sum(amounts)})


def helped(name, rows, *, used=9, bound=4, bits=8, amounts=(300, 100), sides=4, **limits):
    target = tiny_target(weight_bits=bits, **{"neurons": 100, **limits})
    return help_sentences(
        target, used, bound, rows, [cut("a", sides), cut("b", sides)], needs(name, *amounts)
    )


def test_a_network_on_one_core_needs_no_help():
    said = helped("neurons", [row("neurons", 10, 1, 1)], used=1, bound=1)
    assert said == ["The network takes one core: nothing takes fewer."]


def test_the_distance_from_the_fewest_cores_is_said():
    rows = [row("neurons", 400, 4, 9)]
    assert "no partition takes fewer than 4 cores, so a better one could save at most 5 of the 9 used" in (
        helped("neurons", rows)[0].lower()
    )
    assert (
        helped("neurons", rows, bound=9)[0]
        == "No partition of this network takes fewer than the 9 cores used."
    )
    for weaker in (None, 3):  # by neurons alone it takes four
        assert helped("neurons", rows, bound=weaker) == helped("neurons", rows, bound=4)


def test_what_fills_most_cores_comes_with_the_cores_that_it_demands_and_the_next():
    rows = [row("neurons", 400, 4, 6), row("input_axons", 999, 3, 3), row("thresholds", 1, 1, 0)]
    assert helped("neurons", rows)[1] == (
        "6 of 9 cores are fullest of neurons: by neurons alone the network takes at least 4, "
        "by input axons 3."
    )


def test_what_fills_all_cores_is_said_so():
    assert helped("neurons", [row("neurons", 400, 4, 9)])[1].startswith("All 9 cores are fullest of neurons")


def test_what_cutting_adds_is_said_where_it_is_much():
    rows = [row("input_axons", 1000, 1, 9, used=2500)]
    assert (
        "cut up it takes 2.5 times as many, since several cores read the same sources"
        in helped("input_axons", rows)[1]
    )
    assert "times" not in helped("input_axons", [row("input_axons", 1000, 1, 9, used=1010)])[1]


def test_the_layer_that_takes_most_is_named_and_twice_the_limit_is_reckoned():
    rows = [row("neurons", 400, 4, 9), row("input_axons", 3000, 3, 0)]
    lever = helped("neurons", rows)[2]
    assert "'a' takes 75 % of the neurons" in lever
    assert "a smaller input, a larger stride or fewer channels" in lever
    assert "twice the neurons (200) the network takes at least 3 cores" in lever  # the axons still want 3
    assert "fewer units in it" in helped("neurons", rows, sides=1)[2]


def test_where_the_bound_rests_on_more_than_one_resource_no_other_chip_is_reckoned():
    rows = [row("neurons", 400, 4, 9)]
    assert helped("neurons", rows, bound=5)[2].endswith("would help most.")
    assert "twice" in helped("neurons", rows, bound=None)[2]


def test_fewer_weight_bits_help_where_synapse_memory_binds():
    rows = [row("synapse_bits", 8000, 8, 9), row("neurons", 300, 3, 0)]
    lever = helped("synapse_bits", rows, synapse_bits=1000)[2]
    assert "Weights of 4 bits in place of 8" in lever
    assert "synapse memory down to 4 cores and the network to at least 4" in lever
    few = helped("synapse_bits", rows, synapse_bits=1000, bits=2)[2]  # a weight of one bit has no sign
    assert "--weight-bits" not in few
    assert "on cores with twice the synapse memory (0.2 KiB) the network takes at least 4 cores" in few


def test_on_a_real_program_fewer_bits_do_what_was_said():
    def rows_with(bits):
        target = tiny_target(neurons=4000, synapse_bits=2048, weight_bits=bits, weight_sharing=False)
        program, _ = placed_program(random_network(3), target, "phase")
        facts = block_facts(program)
        usage, need = core_usage(program, facts), needs_of(program, facts)
        names = population_names(program)
        rows, cuts = network_rows(program, usage, need), cut_facts(program, names, usage, need)
        return rows, help_sentences(target, len(usage.limits), None, rows, cuts, need)

    (_, said), (half, _) = rows_with(16), rows_with(8)
    cores = next(r["cores"] for r in half if r["resource"] == "synapse_bits")
    assert f"bring synapse memory down to {cores} core" in said[2]
