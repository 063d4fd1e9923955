"""What must hold of a chip description besides the types of its entries: ranges, and entries that agree."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import fields

from nmcompiler.errors import did_you_mean, nearest
from nmcompiler.target.check_tiles import MOST_ADC_BITS, tile_complaints
from nmcompiler.target.complaint import Complaint
from nmcompiler.target.figures import FIGURES, Figure, unit_of
from nmcompiler.target.layer_rules import ConvolutionRules
from nmcompiler.target.model import Target
from nmcompiler.target.neuron_array import NeuronArray, TrimDac

__all__ = ["Complaint", "complaints"]

_RESERVED = ("auto",)  # what --target understands besides names and files
_MOST_CORES = 1_000_000
_MOST_CHIPS = 1_000_000
_MOST_LEVELS = 65535
_MOST_AXONS = 64  # of one source
_MOST_COMPARTMENTS = 64  # of one neuron
_MOST_DAC_BITS = 12
_MOST_COPIES = 64  # of one synapse
_SHORTEST_TAU_STEPS = 2.0  # below it a rate is lost in the leak, see docs/mixed-signal.md


def complaints(target: Target, codings: Collection[str] | None = None) -> Iterator[Complaint]:
    """Yields all that is wrong with a chip, in the order of its entries.

    Args:
        target: The chip.
        codings: The codes that there are; None where nobody knows.
    """
    yield from _names(target, codings)
    yield from _numbers(target)
    yield from _cores(target)
    yield from tile_complaints(target)
    yield from _array(target)
    yield from _network(target)
    yield from _figures(target)
    yield from _agreements(target)


def _names(target: Target, codings: Collection[str] | None) -> Iterator[Complaint]:
    if not target.name.strip() or target.name in _RESERVED:
        yield Complaint("name", f"is '{target.name}'", "any other text ('auto' stands for the smallest chip)")
    lists = {"codings": target.codings, "input_encodings": target.input_encodings, "readout": target.readout}
    allowed = {"codings": "at least one code", "input_encodings": "spikes, current, graded, host"}
    for key, values in lists.items():
        if not values:
            default = "membrane, spikes; left out: membrane"
            yield Complaint(key, "is empty", allowed.get(key, default))
        for i, value in enumerate(values):
            if value in values[:i]:
                yield Complaint(f"{key}[{i}]", f"is '{value}' again", "each once")
    for i, code in enumerate(target.codings if codings is not None else ()):
        if code not in (codings or ()):
            known = ", ".join(codings or ())
            yield Complaint(f"codings[{i}]", f"is '{code}'", known, did_you_mean(code, codings or ()))


def _numbers(target: Target) -> Iterator[Complaint]:
    bias, crossbar = target.bias, target.crossbar
    widths = ((f"weight_widths[{i}]", bits, 1, 16) for i, bits in enumerate(target.weight_widths))
    ranges: tuple[tuple[str, int | None, int, int], ...] = (
        ("max_chips", target.max_chips, 1, _MOST_CHIPS),
        ("weight_bits", target.weight_bits, 2, 16),
        *widths,
        ("membrane_bits", target.membrane_bits, 8, 48),
        ("threshold.bits", target.threshold.bits, 1, 40),
        ("bias.mantissa_bits", None if bias is None else bias.mantissa_bits, 2, 48),
        ("bias.exponent_max", None if bias is None else bias.exponent_max, 0, 31),
        ("bias.synapses", None if bias is None else bias.synapses, 0, 1024),
        ("graded_payload_bits", target.graded_payload_bits, 1, 32),
        ("events_per_step", target.events_per_step, 1, _MOST_LEVELS),
        ("crossbar.axon_types", None if crossbar is None else crossbar.axon_types, 1, 16),
        ("crossbar.weight_bits", None if crossbar is None else crossbar.weight_bits, 2, 16),
        ("axon_fan_out", target.axon_fan_out, 1, _MOST_LEVELS),
        ("delay_max", target.delay_max, 1, _MOST_LEVELS),
        ("axons_per_source", target.axons_per_source, 1, _MOST_AXONS),
        ("compartments_per_neuron", target.compartments_per_neuron, 1, _MOST_COMPARTMENTS),
        ("populations_per_core", target.populations_per_core, 1, _MOST_CORES),
        ("membrane_floor", target.membrane_floor, -(target.membrane_max // 2), target.membrane_max // 2),
    )
    for key, value, least, most in ranges:
        if value is not None and not least <= value <= most:
            left_out = ", or left out" if key == "graded_payload_bits" else ""
            yield Complaint(key, f"is {value}", f"{least} to {most:,}{left_out}")


def _cores(target: Target) -> Iterator[Complaint]:
    mesh = target.mesh
    for key, value in (("rows", mesh.rows), ("columns", mesh.columns)):
        if not 1 <= value <= _MOST_CORES:
            yield Complaint(f"mesh.{key}", f"is {value}", f"1 to {_MOST_CORES:,}")
    if not 1 <= mesh.off_chip_hops <= _MOST_CORES:
        yield Complaint("mesh.off_chip_hops", f"is {mesh.off_chip_hops:g}", f"1 to {_MOST_CORES:,}")
    if not target.core_types:
        yield Complaint("core_types", "is empty", "at least one kind of core, each with count and limits")
    for i, kind in enumerate(target.core_types):
        if kind.count < 1:
            yield Complaint(f"core_types[{i}].count", f"is {kind.count}", f"1 to {_MOST_CORES:,}")
        for field in fields(kind.limits):
            limit = getattr(kind.limits, field.name)
            if limit is not None and limit < 1:
                key = f"core_types[{i}].limits.{field.name}"
                yield Complaint(key, f"is {limit}", "1 or more; left out where the chip sets no limit")
        yield from _compartments(i, kind.limits.neurons, target.compartments_per_neuron)
    if target.cores_per_chip > _MOST_CORES:
        yield Complaint(
            "core_types", f"has {target.cores_per_chip:,} cores", f"at most {_MOST_CORES:,} together"
        )


def _compartments(number: int, limit: int | None, each: int) -> Iterator[Complaint]:
    """Yields the limit of a core on which not even one neuron has room."""
    if limit is not None and 1 <= limit < each:
        yield Complaint(
            f"core_types[{number}].limits.neurons",
            f"is {limit} where a neuron takes {each} compartments",
            f"{each} or more",
            "with compartments_per_neuron it counts compartments, not neurons",
        )


def _agreements(target: Target) -> Iterator[Complaint]:
    """Yields entries that contradict each other: what must hold, the key, what it is, what is allowed."""
    places, cores = target.mesh.rows * target.mesh.columns, target.cores_per_chip
    rules: tuple[tuple[bool, str, str, str], ...] = (
        (places >= cores, "mesh", f"has {places} places for {cores} cores", "a place for every core"),
        (
            target.axon_fan_out is None or target.crossbar is not None,
            "axon_fan_out",
            f"is {target.axon_fan_out} on a chip without a crossbar",
            "only beside crossbar",
        ),
        (
            not target.weight_widths or max(target.weight_widths) >= target.weight_bits,
            "weight_widths",
            f"ends below the {target.weight_bits} bits of weight_bits",
            f"{target.weight_bits} among them, or left out where weights take any number of bits",
        ),
        (
            target.crossbar is None or target.axon_unit == "neuron",
            "axon_unit",
            f"is '{target.axon_unit}' beside crossbar",
            "neuron",
        ),
        (
            target.crossbar is None or target.compares == "step",
            "compares",
            'is "event" beside crossbar',
            '"step"',
        ),
        (
            target.event_ties == "source" or target.compares == "event",
            "event_ties",
            'is "seeded" where membranes are compared once a step',
            'only beside compares = "event"',
        ),
        (
            target.crossbar is None or target.axons_per_source == 1,
            "axons_per_source",
            f"is {target.axons_per_source} beside crossbar, where types say it",
            "1, or left out",
        ),
        (
            target.crossbar is None or not target.weight_sharing,
            "weight_sharing",
            "is true beside crossbar, whose bits are never shared",
            "false",
        ),
        (
            target.compares == "step" or not target.signed_spikes,
            "signed_spikes",
            'is true where compares is "event"',
            "false: what was compared at once is not taken back",
        ),
        (
            target.compares == "step" or target.input_encodings == ("spikes",),
            "input_encodings",
            'holds more than spikes where compares is "event"',
            '["spikes"]: every event is one spike',
        ),
        (
            target.kernel_memory == "weights" or target.weight_sharing,
            "weight_sharing",
            'is false where kernel_memory is "power_of_two"',
            "true: a kernel is stored once",
        ),
    )
    for holds, key, found, allowed in rules:
        if not holds:
            yield Complaint(key, found, allowed)


def _array(target: Target) -> Iterator[Complaint]:
    """Yields what is wrong with a neuron array: its numbers, and entries that an array cannot have."""
    array = target.neuron_array
    if array is None:
        return
    yield from _array_numbers(array)
    leaky = array.leaks and target.codings != ("rate",)
    rules: tuple[tuple[bool, str, str, str], ...] = (
        (target.weight_sharing, "weight_sharing", "is true", "false: a synapse has one weight"),
        (target.signed_spikes, "signed_spikes", "is true", "false: analog neurons only spike"),
        (target.reset == "zero", "reset", 'is "zero"', '"subtract"'),
        (target.compares == "event", "compares", 'is "event"', '"step"'),
        (target.membrane_floor is not None, "membrane_floor", "is given", "left out"),
        (target.crossbar is not None, "crossbar", "is given", "one of the two"),
        (target.conductance_tiles is not None, "conductance_tiles", "is given", "one of the two"),
        (leaky, "codings", f"is {', '.join(target.codings)} with tau_steps", "rate: values need to be kept"),
        (
            "membrane" in target.readout and array.adc_bits is None,
            "readout",
            "holds membrane without adc_bits",
            "spikes, or adc_bits of what reads membranes",
        ),
    )
    for broken, key, found, allowed in rules:
        if broken:
            yield Complaint(key, f"{found} beside neuron_array", allowed)


def _array_numbers(array: NeuronArray) -> Iterator[Complaint]:
    for name in ("weight_cv", "threshold_cv", "gain_cv", "time_constant_cv", "temporal_noise"):
        cv = getattr(array, name)
        if cv is not None and not 0 <= cv <= 1:
            yield Complaint(
                f"neuron_array.{name}", f"is {cv:g}", "0 to 1; left out where nobody published it"
            )
    if array.tau_steps is not None and array.tau_steps < _SHORTEST_TAU_STEPS:
        allowed = f"{_SHORTEST_TAU_STEPS:g} or more, or left out where membranes keep what they hold"
        hint = "a membrane that forgets within a step or two counts no spikes: take longer time constants"
        yield Complaint("neuron_array.tau_steps", f"is {array.tau_steps:g}", allowed, hint)
    if array.adc_bits is not None and not 2 <= array.adc_bits <= MOST_ADC_BITS:
        yield Complaint("neuron_array.adc_bits", f"is {array.adc_bits}", f"2 to {MOST_ADC_BITS}")
    if array.digital_terms < 0:
        yield Complaint("neuron_array.digital_terms", f"is {array.digital_terms}", "0 or more")
    if not 1 <= array.synapse_copies <= _MOST_COPIES:
        found = f"is {array.synapse_copies}"
        yield Complaint("neuron_array.synapse_copies", found, f"1 to {_MOST_COPIES}")
    if not array.source.strip():
        yield Complaint("neuron_array.source", "is empty", "where it was read")
    yield from _dac("neuron_array.threshold_dac", array.threshold_dac)
    yield from _dac("neuron_array.bias_dac", array.bias_dac)


def _dac(key: str, dac: TrimDac | None) -> Iterator[Complaint]:
    if dac is not None and not 1 <= dac.bits <= _MOST_DAC_BITS:
        yield Complaint(f"{key}.bits", f"is {dac.bits}", f"1 to {_MOST_DAC_BITS}")
    if dac is not None and not dac.span > 0:
        yield Complaint(f"{key}.span", f"is {dac.span:g}", "above 0")


def _network(target: Target) -> Iterator[Complaint]:
    if target.network_limits is not None:
        for field in fields(target.network_limits):
            limit = getattr(target.network_limits, field.name)
            if limit is not None and limit < 1:
                key = f"network_limits.{field.name}"
                yield Complaint(key, f"is {limit}", "1 or more; left out where the chip sets no limit")
    rules = target.layer_rules
    if rules is None:
        return
    levels = (("first", rules.first.levels), ("inner", rules.inner.levels), ("dense", rules.dense.levels))
    for name, value in levels:
        if not 1 <= value <= _MOST_LEVELS:
            yield Complaint(f"layer_rules.{name}.levels", f"is {value}", f"1 to {_MOST_LEVELS:,}")
    yield from _convolution("layer_rules.first", rules.first)
    yield from _convolution("layer_rules.inner", rules.inner)
    yield from _positive("layer_rules.max_pools", rules.max_pools)


def _convolution(key: str, rules: ConvolutionRules) -> Iterator[Complaint]:
    for name in ("kernels", "strides", "padding"):
        if not getattr(rules, name):
            yield Complaint(f"{key}.{name}", "is empty", "at least one entry")
    for name in ("kernels", "strides", "strided_kernels", "channels"):
        yield from _positive(f"{key}.{name}", getattr(rules, name))


def _positive(key: str, values: tuple[int, ...]) -> Iterator[Complaint]:
    for i, value in enumerate(values):
        if value < 1:
            yield Complaint(f"{key}[{i}]", f"is {value}", "1 or more")


def _figures(target: Target) -> Iterator[Complaint]:
    if target.step_us is not None:
        yield from _figure("step_us", target.step_us)
    for name, figure in target.figures.items():
        key = f"figures.{name}"
        if name in FIGURES:
            yield from _figure(key, figure)
        else:
            same = [known for known in FIGURES if known.rpartition("_")[0] == name.rpartition("_")[0]]
            unit = f"its unit is {unit_of(same[0])}: '{same[0]}'" if same else ""
            yield Complaint(key, "is not a known figure", "", unit or nearest(name, FIGURES))
        for i, other in enumerate(figure.includes):
            if other not in FIGURES:
                yield Complaint(f"{key}.includes[{i}]", f"is '{other}'", "", nearest(other, FIGURES))


def _figure(key: str, figure: Figure) -> Iterator[Complaint]:
    if not (math.isfinite(figure.value) and figure.value > 0):
        allowed = f"a number above 0, in {unit_of(key)}; left out where nobody published it"
        yield Complaint(f"{key}.value", f"is {figure.value:g}", allowed)
    if not figure.source.strip():
        yield Complaint(f"{key}.source", "is empty", "where the figure was read")
