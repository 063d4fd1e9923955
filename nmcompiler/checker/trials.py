"""Placing a network on a chip as ``nmc compile`` would, many times over, without calibration data."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import numpy as np

from nmcompiler.backend import Backend, BackendBase, MapOptions, blame
from nmcompiler.checker.limits import LayerLimit, layer_limits, too_few_cores, too_many_neurons
from nmcompiler.checker.outcomes import Broken, Outcome, Quantised, Simplified
from nmcompiler.checker.stand_ins import StandIns
from nmcompiler.errors import DoesNotFit, NmcError, RefusedNode, UnsupportedModel
from nmcompiler.evaluate.threads import one_blas_thread
from nmcompiler.ir.cores import CoreGraph, Traffic
from nmcompiler.ir.layers import Model
from nmcompiler.ir.network import Network
from nmcompiler.ir.spiking import Spiking
from nmcompiler.passes import (
    JoinPools,
    LegaliseFanIn,
    Pipeline,
    Quantise,
    QuantiseOptions,
    float_passes,
    refused_layers,
)
from nmcompiler.passes.base import Context, Pass
from nmcompiler.passes.draft import Draft
from nmcompiler.passes.fan_in import FanIn, crowded
from nmcompiler.passes.formats import Formats
from nmcompiler.passes.room import Room
from nmcompiler.passes.split_exact import SplitExact
from nmcompiler.plan import CompileOptions, Plan, plan_of
from nmcompiler.target import Target

__all__ = ["Trials"]

_MOST_KEPT = 10_000_000  # weights of all integer networks together, 8 bytes each
_GRID = 8  # scales tried per channel: random samples deserve no finer search


_Key = tuple[int, Formats, QuantiseOptions]


class Trials:
    """All attempts to place one model.

    The model is simplified once for all chips, unless their limits matter to the passes, and quantised once
    for every distinct number format, on a few random samples: cores and limits follow from shapes and
    formats, hardly from the values.

    Args:
        model: The layer graph as the frontend reads it.
    """

    def __init__(self, model: Model) -> None:
        self._read = model
        self._simplified: list[Simplified] = []
        self._made: dict[_Key, Quantised | DoesNotFit] = {}
        self._fitted: dict[object, tuple[Model, Model]] = {}
        self._placed: dict[object, tuple[Network, Outcome]] = {}  # a network that is kept keeps its id

    def simplified(self, chip: Target) -> Simplified:
        """Returns the model as it is quantised for a chip."""
        room = Room.of(chip)
        for known in self._simplified:
            if known.serves(room):
                return known
        context = Context(calibration=StandIns(self._read).samples, target=chip)
        result = Pipeline(float_passes()).run(self._read, context)
        self._simplified.append(Simplified(result.graph, result.notes, room, StandIns(result.graph)))
        return self._simplified[-1]

    @property
    def quantised(self) -> tuple[Quantised, ...]:
        """The integer networks of the model itself, one or more for each format in which there is one."""
        return tuple(made for made in self._made.values() if isinstance(made, Quantised))

    def attempt(
        self,
        backend: Backend,
        chip: Target,
        code: str,
        options: CompileOptions,
        model: Model | None = None,
    ) -> Outcome:
        """Returns how the model, or a changed one, fits a chip in a code.

        Raises:
            UnsupportedModel: A layer has no integer form on any chip.
        """
        try:
            plan = plan_of(options, code, chip)
            # The chip holds weights of the bits asked for, here as in ``nmc compile``.
            held = replace(chip, weight_bits=plan.weight_bits)
            layers = self.simplified(held).model if model is None else model
            refused = refused_layers(layers, held, levels=plan.levels, input_levels=plan.input_levels)
            if refused:
                return Outcome(code, broken=tuple(_refused(node) for node in refused))
            crowded = too_many_neurons(layers, held, _most_chips(held, options))
            if crowded is not None:
                return Outcome(code, broken=(_limit(crowded),))
            if plan.coding.windowed:
                layers = self._with_joined_pools(layers, held)
            layers = self._fitting(layers, held, LegaliseFanIn(plan.fan_in, options.chips))
            quantised = self.quantise(layers, held, plan)
        except NmcError as error:
            if isinstance(error, UnsupportedModel):
                raise
            return Outcome(code, broken=_broken(error))
        try:
            exact = (SplitExact(plan.coding, options.chips),) if plan.fan_in == "exact" else ()
            spiking = _spiking(quantised, backend, held, plan, exact)
        except NmcError as error:
            return Outcome(code, broken=_broken(error))
        if model is not None or type(backend).map is not BackendBase.map:
            return _mapped(spiking, backend, held, options)
        # The mapper of the package looks at no code: codes that need the same of a core are mapped once.
        network = spiking.network
        key = (id(network), backend.name, held.name, held.weight_bits, options.chips, _needs(spiking))
        if key not in self._placed:
            self._placed[key] = network, _mapped(spiking, backend, held, options)
        return replace(self._placed[key][1], coding=code)

    def _with_joined_pools(self, model: Model, chip: Target) -> Model:
        """Returns the model with pools as populations of their own where ``nmc compile`` makes them so."""
        result = JoinPools().run(model, Context(calibration=None, target=chip))
        if not result.changed:
            return model
        key = (id(model), JoinPools.name, tuple(note.layer for note in result.notes))
        return self._fitted.setdefault(key, (model, result.graph))[1]

    def _fitting(self, model: Model, chip: Target, legalise: LegaliseFanIn) -> Model:
        """Returns the model whose layers have no more inputs than a neuron of the chip has synapses.

        Raises:
            DoesNotFit: The chip has no room for it.
        """
        fan_in = FanIn.of(chip)
        if fan_in is None or not crowded(Draft(model), fan_in):
            return model
        key = (id(model), fan_in, chip.bias is None, chip.neurons, legalise)
        if key not in self._fitted:
            context = Context(calibration=StandIns(model).samples, target=chip)
            made = legalise.run(model, context).graph
            self._fitted[key] = model, made
        return self._fitted[key][1]

    def quantise(self, model: Model, chip: Target, plan: Plan) -> Network:
        """Returns the integer network of a model in the formats of a chip.

        Raises:
            DoesNotFit: The formats cannot hold a layer's numbers.
            UnsupportedModel: A layer has no integer form.
        """
        options = quantise_options(plan)
        formats = replace(Formats.of(chip, weight_bits=plan.weight_bits), name="")
        data = next((known.data for known in self._simplified if known.model is model), None)
        if data is None and any(made is model for _, made in self._fitted.values()):
            data = StandIns(model)
        if data is None:  # a changed model is tried once
            made = _quantised(model, chip, formats, options, StandIns(model))
        else:
            key = (id(model), formats, options)
            made = self._made.get(key) or _quantised(model, chip, formats, options, data)
            if isinstance(made, Quantised):
                made = replace(made, uses=dict.fromkeys((*made.uses, (chip.name, plan.coding.name))))
            self._made[key] = made
            self._forget(key)
        if isinstance(made, DoesNotFit):
            raise DoesNotFit(
                layer=made.layer,
                resource=made.resource,
                used=made.used,
                limit=made.limit,
                target=chip.name,
                hint=made.hint,
                words=made.words,
            )
        return made.network

    def _forget(self, latest: _Key) -> None:
        """Drops networks where all together take too much memory; what is asked for again is made again.

        The first, and the first with one threshold for all neurons, stay: advice looks at them.
        """
        kept = {key: made for key, made in self._made.items() if isinstance(made, Quantised)}
        shared = next((key for key, made in kept.items() if made.formats.per_population), None)
        total = sum(_weights(made.network) for made in kept.values())
        for key, made in kept.items():
            if total > _MOST_KEPT and key not in (next(iter(kept)), shared, latest):
                total -= _weights(made.network)
                del self._made[key]
                self._placed.clear()  # it keeps networks as well


def _weights(network: Network) -> int:
    return sum(int(edge.payload.kernel.weight.size) for edge in network.graph.edges())


def quantise_options(plan: Plan) -> QuantiseOptions:
    """Returns the options with which a plan is quantised."""
    repeats = plan.timesteps if plan.timesteps and plan.input_encoding == "current" else 1
    return QuantiseOptions(
        levels=plan.levels,
        weight_bits=plan.weight_bits,
        output_levels=plan.output_levels,
        input_levels=plan.input_levels,
        input_repeats=repeats,
        bias_steps=plan.timesteps or 1,
        grid=_GRID,
        refit=False,
        weighted=False,
        in_turn=False,
        coupled=False,
    )


def _quantised(
    model: Model, chip: Target, formats: Formats, options: QuantiseOptions, data: StandIns
) -> Quantised | DoesNotFit:
    context = Context(calibration=data.samples, target=chip)
    try:
        # On random samples the sums of an untrained network may leave float32; threads of the matrix product
        # would mostly wait for each other.
        with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
            network = Quantise(options, data.sums).run(model, context).graph
    except DoesNotFit as error:
        return error
    return Quantised(model, network, formats, options, data, {})


def _spiking(
    quantised: Network, backend: Backend, chip: Target, plan: Plan, more: tuple[Pass[Network], ...] = ()
) -> Spiking:
    """Returns the network as the chip runs it.

    Raises:
        UnsupportedModel: With everything that the chip has not, layer by layer.
    """
    with blame(backend, "legalise"):
        legalise = backend.legalise(plan.coding, chip)
    network = Pipeline((*legalise, *more)).run(quantised, Context(calibration=None, target=chip)).graph
    with blame(backend, "obstacles"):
        obstacles = backend.obstacles(network, plan.coding, chip)
    if obstacles:
        raise _Obstacles(tuple(Broken(o.layer, None, None, None, str(o), o.hint) for o in obstacles))
    return plan.coding.convert(network, chip, input_encoding=plan.input_encoding, timesteps=plan.timesteps)


def _needs(spiking: Spiking) -> object:
    """Returns what decides, besides the network, what a core holds: delays and thresholds."""
    delays = tuple(spiking.schedule.delay(e.source, e.target) for e in spiking.network.graph.edges())
    thresholds = tuple(
        (name, n.theta.shape, sha256(n.theta.tobytes()).digest())
        for name, n in sorted(spiking.neurons.items())
    )
    return delays, thresholds


class _Obstacles(NmcError):
    """What a backend says against a network; never leaves this module."""

    def __init__(self, broken: tuple[Broken, ...]) -> None:
        super().__init__("; ".join(b.reason for b in broken))
        self.broken = broken


def _mapped(spiking: Spiking, backend: Backend, chip: Target, options: CompileOptions) -> Outcome:
    # Where cores lie on the mesh changes neither their number nor their limits: they are not placed, and
    # any traffic serves.
    short = too_few_cores(spiking, chip, _most_chips(chip, options))
    if short is not None:
        return Outcome(spiking.coding, broken=(_limit(short), *_layers_too_large(spiking, chip)))
    traffic = Traffic({p.name: np.ones(p.shape) for p in spiking.network.graph})
    effort = MapOptions(chips=options.chips, seed=options.seed, moves=0, place=False)
    try:
        with blame(backend, "map"):
            cores: CoreGraph = backend.map(spiking, chip, traffic, effort)
    except NmcError as error:
        return Outcome(spiking.coding, broken=_all_limits(error, spiking, chip))
    return Outcome(spiking.coding, len(cores.graph), cores.lower_bound, cores.chips)


def _all_limits(error: NmcError, spiking: Spiking, chip: Target) -> tuple[Broken, ...]:
    """Returns every limit that a layer breaks, where the backend's mapper stopped at the first."""
    first = _broken(error)
    if not isinstance(error, DoesNotFit) or error.resource == "cores":
        return first
    key = (error.layer, error.resource, error.used)
    found = _layers_too_large(spiking, chip)
    if key not in {(b.layer, b.resource, b.used) for b in found}:
        return first  # the backend counts in its own way
    return tuple(first[0] if (b.layer, b.resource, b.used) == key else b for b in found)


def _layers_too_large(spiking: Spiking, chip: Target) -> tuple[Broken, ...]:
    return tuple(_limit(broken) for broken in layer_limits(spiking, chip))


def _limit(broken: LayerLimit) -> Broken:
    return Broken(broken.layer, broken.resource, broken.used, broken.limit, broken.reason)


def _most_chips(chip: Target, options: CompileOptions) -> int:
    return min(options.chips or chip.max_chips, chip.max_chips)


def _refused(node: RefusedNode) -> Broken:
    return Broken(node.name, None, None, None, f"layer '{node.name}' {node.reason}", node.hint)


def _broken(error: NmcError) -> tuple[Broken, ...]:
    if isinstance(error, _Obstacles):
        return error.broken
    if isinstance(error, DoesNotFit):
        return (Broken(error.layer, error.resource, error.used, error.limit, error.found, error.hint),)
    return (Broken(error.node, None, None, None, str(error)),)
