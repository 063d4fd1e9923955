from __future__ import annotations

import io
from typing import Any

from rich.console import Console, Group

from nmcompiler.report.inside_text import inside_text

Facts = dict[str, Any]


def plain(facts: Facts, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=80, markup=False, highlight=False)
    console.print(Group(*inside_text(facts, **options)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def words(facts: Facts, **options: Any) -> str:
    return " ".join(plain(facts, **options).split())


def test_a_cut_comes_with_its_box_what_is_full_and_the_fewest_cores(program_facts: Facts) -> None:
    said = words(program_facts)
    assert "conv[1] 2 8×4×8 neurons 512 of 1,024 1 by neurons" in said
    assert "whole on one core: dense" in said
    assert "shared with" not in said


def test_layers_that_lie_on_all_cores_are_spread(program_facts: Facts) -> None:
    assert "spread over all cores" not in words(program_facts)
    for layer in program_facts["layers"]:
        layer["cores"] = 2
    assert "every layer is spread over all cores" in words(program_facts)


def test_of_a_core_that_holds_many_layers_the_first_are_named(program_facts: Facts) -> None:
    program_facts["hottest"]["cores"][0]["layers"] = ["a", "b", "c", "d"]
    assert "a, b and 2 more" in words(program_facts)


def test_memory_has_its_unit_once_and_shared_cores_a_star(program_facts: Facts) -> None:
    binds = program_facts["cuts"][0]["binds"]
    binds.update(resource="synapse_bits", used=81920, limit=163840, shared=True)
    said = words(program_facts)
    assert "syn. memory 10.0 of 20.0 KiB *" in said
    assert "* shared with other layers" in said


def test_where_nothing_is_limited_nothing_is_full(program_facts: Facts) -> None:
    program_facts["cuts"][0].update(binds=None, at_least={})
    assert "conv[1] 2 8×4×8 – –" in words(program_facts)


def test_a_network_on_one_core_says_so(program_facts: Facts) -> None:
    for cut in program_facts["cuts"]:
        cut["boxes"] = 1
    assert "no layer: each fits one core" in words(program_facts)
    program_facts["cores"]["used"] = 1
    assert "the whole network fits one core" in words(program_facts)


def test_the_busiest_cores_and_links_are_listed(program_facts: Facts) -> None:
    said = words(program_facts)
    assert "0 (0, 0) 512 100 8 1.50 µs conv[1]" in said
    assert "(0, 0) east 80 50.0 % conv[1] 75 %, image 25 %" in said
    program_facts["hottest"]["by"] = "synops"
    assert "1.50 µs" not in words(program_facts)
    program_facts["chips"] = 2
    assert "(0, 0) chip 0" in words(program_facts)
    program_facts["passes"] = {"count": 2}
    assert "(0, 0) chip 0 pass 0" in words(program_facts)
    program_facts["hottest"] = None
    assert "Busiest" not in words(program_facts)


def test_only_the_layers_that_send_most_over_a_link_are_named(program_facts: Facts) -> None:
    senders = program_facts["hottest"]["links"][0]["layers"]
    senders += [{"name": "c", "spikes": 5.0}, {"name": "d", "spikes": 5.0}]
    assert "image 25 % and 2 more" in words(program_facts)


def test_a_large_map_waits_for_the_option(program_facts: Facts) -> None:
    assert "A5" in plain(program_facts)
    program_facts["core_map"]["cores"] = [
        {**core, "row": 3 * core["core"] + row}
        for row in range(21)
        for core in program_facts["core_map"]["cores"][:1]
    ]
    assert "A5" not in plain(program_facts)
    assert "too many to be drawn here: --map" in words(program_facts)
    assert plain(program_facts, whole_map=True).count("A5") == 21


def test_it_fits_80_columns(program_facts: Facts) -> None:
    name = "a_very_long_name_of_a_layer/with/slashes/and_more_of_it"
    for layer in (program_facts["cuts"][0], program_facts["layers"][0]):
        layer["layer" if "layer" in layer else "name"] = name
    program_facts["core_map"]["cores"][0]["layers"] = [name] * 3
    program_facts["hottest"]["cores"][0]["layers"] = [name] * 3
    program_facts["hottest"]["links"][0]["layers"][0]["name"] = name
    assert max(map(len, plain(program_facts).splitlines())) <= 80
