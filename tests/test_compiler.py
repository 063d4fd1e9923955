"""Compiling, running and checking through the facade, on a network of two layers."""

from __future__ import annotations

from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from nmcompiler.backend import BackendBase
from nmcompiler.checker import check_model
from nmcompiler.codings import CODINGS, coding
from nmcompiler.compiler import compile_model, run_program
from nmcompiler.errors import BackendFault, DoesNotFit, InputFileError, NmcError, UnsupportedModel, UsageError
from nmcompiler.evaluate.integer import decode_outputs, run_integer
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.evaluate.rate import run_rate
from nmcompiler.frontend.data import Samples
from nmcompiler.plan import CompileOptions, plan_of
from nmcompiler.program.container import load, save
from nmcompiler.report.schema import load_schema
from nmcompiler.sim import Simulator, decode
from nmcompiler.target import target_to_toml
from nmcompiler.target.model import Dynamics
from nmcompiler.testing import random_network, tiny_target

from .frontend.models import model, node, weights

NET = model(
    [
        node("Conv", ["x", "k", "b"], "a", kernel_shape=[3, 3]),
        node("Relu", ["a"], "r"),
        node("Flatten", ["r"], "f"),
        node("Gemm", ["f", "m", "o"], "y"),
    ],
    [1, 6, 6],
    {"k": weights(3, 1, 3, 3), "b": weights(3, seed=1), "m": weights(48, 4, seed=2), "o": weights(4, seed=3)},
)
WRONG = model([node("Sin", ["x"], "s", "wave"), node("Erf", ["s"], "y", "bell")], [4])
RNG = np.random.default_rng(0)
X = {"x": RNG.uniform(0, 1, (40, 1, 6, 6)).astype(np.float32)}
CHIP = tiny_target(neurons=64, rows=1, columns=1)  # nothing to place
LABELS = run_onnx(NET, X)["y"].argmax(axis=1)


def compiled(target=CHIP, code="phase", **options):
    return compile_model(NET, target, code, X, CompileOptions(**options))


@pytest.fixture(scope="module")
def made():
    return compiled(levels=255)


def sentence(kind, *arguments, **options):
    with pytest.raises(kind) as caught:
        compiled(*arguments, **options)
    return str(caught.value)


# --- compile --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(CODINGS))
def test_a_compilation_is_proved_and_its_facts_match_the_schema(code):
    facts = compiled(code=code).facts
    jsonschema.validate(facts, load_schema("compile"))
    assert facts["coding"] == code
    assert facts["static_check"]["ok"]
    assert facts["neurons"] == 48 + 4
    assert facts["compile_seconds"] > 0


def test_options_are_in_the_facts():
    facts = compiled(levels=7, weight_bits=5, input_levels=63, chips=1, seed=9).facts
    chosen = {key: facts[key] for key in ("levels", "weight_bits", "input_levels", "chips", "seed")}
    assert chosen == {"levels": 7, "weight_bits": 5, "input_levels": 63, "chips": 1, "seed": 9}


def test_weights_stay_within_the_bits_asked_for():
    program = compiled(weight_bits=3).program
    assert np.abs(program.arrays["weights"]).max() <= 3


def test_equal_inputs_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        save(compiled(seed=5).program, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_files_and_arrays_give_the_same_program(tmp_path):
    (tmp_path / "net.onnx").write_bytes(NET)
    np.savez(tmp_path / "data.npz", **X, y=np.array([{}], dtype=object))  # labels that nobody may open
    from_files = compile_model(tmp_path / "net.onnx", CHIP, "phase", tmp_path / "data.npz")
    from_arrays = compiled().program
    for name, array in from_files.program.arrays.items():
        assert np.array_equal(array, from_arrays.arrays[name]), name


def test_the_onnx_file_is_kept_unless_it_is_not_wanted(tmp_path):
    assert compiled().program.source == NET
    assert compiled(include_source=False).program.source is None


def test_verifying_the_passes_changes_nothing():
    plain, verified = compiled().program, compiled(verify=True).program
    assert all(np.array_equal(plain.arrays[k], verified.arrays[k]) for k in plain.arrays)


def test_a_target_may_be_a_name_a_file_or_a_description(tmp_path):
    (tmp_path / "chip.toml").write_text(target_to_toml(CHIP))
    assert compiled("generic-digital").facts["target"] == "generic-digital"
    assert compiled(str(tmp_path / "chip.toml")).facts["target"] == compiled().facts["target"] == "tiny"


# --- wrong options --------------------------------------------------------------------------------------


def test_unknown_names_are_answered_with_the_nearest():
    assert "did you mean 'phase'" in sentence(UsageError, code="phas")
    assert "did you mean 'loihi2' or 'loihi1'" in sentence(UsageError, "loihi")
    assert "there is no backend 'nobody'" in sentence(UsageError, backend="nobody")


def test_a_code_that_the_chip_has_not_is_told_with_those_that_have():
    chip = tiny_target(codings=("rate",))
    text = sentence(UsageError, chip, "phase")
    assert "target 'tiny' cannot run the coding 'phase'; allowed: rate on tiny" in text
    assert "generic-digital" in text


def test_an_installed_chip_is_told_apart_from_a_file_that_has_its_name():
    chip = replace(tiny_target(codings=("rate",)), name="generic-digital")
    text = sentence(UsageError, chip, "phase")
    assert "generic-digital (the installed one, not this file)" in text
    assert "installed" not in sentence(UsageError, tiny_target(codings=("rate",)), "phase")


@pytest.mark.parametrize(
    ("code", "options", "expected"),
    [
        ("phase", {"levels": 70_000}, "--levels 70000 is out of range; allowed: 1 to 65535"),
        ("phase", {"levels": -3}, "--levels -3 is out of range"),
        ("phase", {"input_levels": 65_536}, "--input-levels 65536 is out of range"),
        ("phase", {"timesteps": 8}, "--timesteps does not apply to the coding 'phase'"),
        ("rate-sync", {"timesteps": 8}, "use --levels"),
        ("phase", {"settle": 0}, "--settle does not apply to the coding 'phase'"),
        ("rate", {"timesteps": 8, "settle": 9}, "--settle 9 is out of range; allowed: 0 to 8"),
        ("ttfs", {"timesteps": 8}, "--timesteps does not apply to the coding 'ttfs'"),
        ("graded", {"timesteps": 8}, "--timesteps does not apply to the coding 'graded'"),
        ("ttfs", {"levels": 4097}, "--levels 4097 is out of range; allowed: 1 to 4096 in 'ttfs'"),
        ("ttfs", {"input_levels": 4097}, "--input-levels 4097 is out of range"),
        ("graded", {"input_encoding": "spikes"}, "cannot be used with 'graded' on 'tiny'; allowed: graded"),
        ("rate", {"levels": 8}, "--levels does not apply to the coding 'rate'"),
        ("phase", {"weight_bits": 9}, "--weight-bits 9 is out of range; allowed: 2 to 8 on tiny"),
        ("phase", {"weight_bits": 1}, "--weight-bits 1 is out of range"),
        ("phase", {"input_encoding": "graded"}, "--input-encoding graded cannot be used with 'phase'"),
        ("phase", {"chips": 10_000}, "--chips: 10000 chips; allowed: 1 to"),
        ("phase", {"output_levels": 65_536}, "--output-levels 65536 is out of range; allowed: 1 to 65535"),
        (
            "ttfs",
            {"output_levels": 4097},
            "--output-levels 4097 is out of range; allowed: 1 to 4096 in 'ttfs'",
        ),
        (
            "rate",
            {"timesteps": 8, "output_levels": 255},
            "--output-levels 255 cannot be had in 'rate': outputs are counts of spikes in T steps; "
            "allowed: 8, the steps; use --timesteps",
        ),
        (
            "rate",
            {"timesteps": 8, "input_levels": 9, "input_encoding": "spikes"},
            "--input-levels 9 do not fit the 8 steps of input encoding 'spikes'; allowed: 1 to 8",
        ),
    ],
)
def test_a_wrong_option_is_told_with_what_is_allowed(code, options, expected):
    assert expected in sentence(UsageError, code=code, **options)


def test_weight_bits_that_a_chip_does_not_store_are_refused():
    chip = replace(tiny_target(weight_bits=4), weight_widths=(1, 2, 4))
    for bits, said in (
        (3, "'tiny' stores no weights of 3 bits"),
        (1, "is out of range"),
        (5, "out of range"),
    ):
        with pytest.raises(UsageError) as caught:
            plan_of(CompileOptions(weight_bits=bits), "phase", chip)
        assert f"--weight-bits {bits}" in str(caught.value)
        assert said in str(caught.value)
        assert "allowed: 2 or 4 on tiny" in str(caught.value)
    for asked, taken in ((None, 4), (2, 2), (4, 4)):
        assert plan_of(CompileOptions(weight_bits=asked), "phase", chip).weight_bits == taken


@pytest.mark.parametrize(
    "option", ["levels", "weight_bits", "input_levels", "output_levels", "timesteps", "chips"]
)
def test_zero_is_a_wrong_option_and_not_the_default(option):
    text = sentence(UsageError, code="rate" if option == "timesteps" else "phase", **{option: 0})
    assert text.startswith(f"--{option.replace('_', '-')}")


def test_a_chip_without_a_suitable_input_is_told():
    chip = tiny_target(input_encodings=("graded",))
    text = sentence(UsageError, chip)
    assert "takes samples as graded, the coding 'phase' needs spikes" in text


def test_values_that_an_event_cannot_carry_are_told_with_layer_need_and_limit():
    chip = tiny_target(graded_payload_bits=8)
    assert compiled(chip, "graded", levels=255).facts["input_encoding"] == "graded"
    text = sentence(UnsupportedModel, chip, "graded", levels=256, input_levels=500)
    assert (
        "'a': sends values of 9 bits (0 to 256), and an event carries 8 bits (try a smaller --levels)" in text
    )
    assert (
        "'x': sends values of 9 bits (0 to 500), and an event carries 8 bits (try a smaller --input" in text
    )


def test_a_chip_without_graded_events_is_told():
    text = sentence(UsageError, tiny_target(graded_payload_bits=None), "graded")
    assert "target 'tiny' has no events that carry values, which the coding 'graded' needs" in text


@pytest.mark.parametrize("code", ["phase", "rate"])
def test_a_chip_that_reads_membranes_alone_refuses_levels_of_outputs(code):
    text = sentence(UsageError, tiny_target(readout=("membrane",)), code, output_levels=15)
    assert "--output-levels 15 reads outputs from spikes, and of target 'tiny' only membrane can be" in text
    assert compiled(tiny_target(readout=("membrane",)), code).facts["output_levels"] is None


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("code", sorted(CODINGS))
def test_outputs_are_read_from_spikes_in_every_code(code, signed):
    steps = {"timesteps": 64, "output_levels": 64} if code == "rate" else {"output_levels": 100}
    program = compiled(tiny_target(signed_spikes=signed), code, **steps, verify=True).program
    read = np.isin(program.column("population"), [port.population for port in program.outputs])
    levels = steps["output_levels"]
    assert set(program.column("levels")[read]) == {levels}
    assert program.column("signed")[read].any() == signed
    outcome = run_program(program, Samples(X, LABELS))
    facts, port = outcome.facts, program.outputs[0]
    jsonschema.validate(facts, load_schema("run"))
    assert (facts["output_levels"], facts["saturations"]) == (levels, 0)
    wrong = [facts[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")]
    assert wrong == ([None] * 3 if code == "rate" else [0, 0, 0])
    whole = outcome.outputs[port.name] / np.float32(port.scale)
    assert np.allclose(whole, np.round(whole), atol=1e-3)
    assert np.abs(whole).max() <= levels
    assert facts["accuracy"]["integer"] >= 0.9
    assert facts["accuracy"]["chip"] >= (0.8 if code == "rate" else 0.9)


def test_a_chip_that_reads_spikes_alone_has_levels_of_outputs_by_default():
    chip = tiny_target(readout=("spikes",))
    assert plan_of(CompileOptions(), "phase", chip).output_levels == 255
    assert plan_of(CompileOptions(output_levels=31), "phase", chip).output_levels == 31
    assert plan_of(CompileOptions(timesteps=24), "rate", chip).output_levels == 24
    assert plan_of(CompileOptions(), "phase", tiny_target()).output_levels is None


def test_read_outs_that_the_chip_cannot_read_are_obstacles():
    for levels, readout, found in ((0, "spikes", "membrane"), (7, "membrane", "spikes")):
        network = random_network(1, output_levels=levels)
        told = BackendBase().obstacles(network, coding("phase"), tiny_target(readout=(readout,)))
        assert [o.reason for o in told] == [
            f"is read from its {found}, and of the chip only {readout} can be read"
        ]
        assert not BackendBase().obstacles(network, coding("phase"), tiny_target())


def test_a_network_is_checked_for_a_chip_that_reads_spikes_alone(path):
    assert check_model(path, tiny_target(neurons=64, readout=("spikes",), signed_spikes=False))["ok"]


def test_outputs_that_an_event_cannot_carry_are_told():
    chip = tiny_target(graded_payload_bits=8)
    assert compiled(chip, "graded", output_levels=127).facts["output_levels"] == 127
    text = sentence(UnsupportedModel, chip, "graded", output_levels=128)
    assert "'y': sends values of 9 bits (-128 to 128), and an event carries 8 bits" in text
    assert "try a smaller --output-levels" in text


def test_options_have_defaults_for_every_code():
    chip = tiny_target()
    plan = plan_of(CompileOptions(), "phase", chip)
    assert (plan.levels, plan.weight_bits, plan.timesteps, plan.input_levels) == (15, 8, None, 255)
    rate = plan_of(CompileOptions(timesteps=32, input_encoding="spikes"), "rate", chip)
    assert (rate.levels, rate.timesteps, rate.input_levels) == (32, 32, 32)
    for bits, levels in ((5, 31), (8, 255), (16, 255)):
        narrow = tiny_target(graded_payload_bits=bits)
        assert plan_of(CompileOptions(), "graded", narrow).input_levels == levels
        assert plan_of(CompileOptions(input_levels=63), "graded", narrow).input_levels == 63
        assert plan_of(CompileOptions(), "phase", narrow).input_levels == 255


def test_layers_wait_by_default_where_no_spike_can_be_taken_back():
    signed, unsigned = tiny_target(), tiny_target(signed_spikes=False)

    def settle(chip, steps, asked=None):
        return plan_of(CompileOptions(timesteps=steps, settle=asked), "rate", chip).settle

    assert [settle(signed, steps) for steps in (1, 2, 16)] == [0, 0, 0]
    assert [settle(unsigned, steps) for steps in (1, 2, 4, 8, 16)] == [0, 1, 2, 2, 4]
    assert settle(unsigned, 16, 0) == 0
    assert plan_of(CompileOptions(), "phase", signed).settle is None
    forgets = tiny_target(signed_spikes=False, dynamics=Dynamics(reset="zero"))
    assert settle(forgets, 16) == 0


@pytest.mark.parametrize("code", ["phase", "rate-sync", "ttfs", "graded"])
@pytest.mark.parametrize(
    ("dynamics", "needed"),
    [
        (Dynamics(reset="zero"), "subtracts θ"),
        (Dynamics(floor=0), "without a floor"),
    ],
)
def test_exact_codes_refuse_neurons_that_forget_in_one_sentence(code, dynamics, needed):
    with pytest.raises(UsageError) as refused:
        plan_of(CompileOptions(), code, tiny_target(dynamics=dynamics))
    sentence = refused.value.sentence()
    assert needed in sentence
    assert code in sentence
    assert "rate with such neurons" in sentence
    assert plan_of(CompileOptions(), "rate", tiny_target(dynamics=dynamics)).coding.name == "rate"


def test_waiting_is_reported_and_takes_its_steps():
    made = [compiled(CHIP, "rate", timesteps=4, settle=k) for k in (0, 2)]
    assert [m.facts["settle"] for m in made] == [0, 2]
    steps = [m.facts["schedule"]["total_steps"] for m in made]
    assert steps[1] - steps[0] == 2  # one hidden layer
    assert compiled(CHIP, "phase").facts["settle"] is None


def test_wrong_options_are_told_before_any_file_is_read(tmp_path):
    with pytest.raises(UsageError):
        compile_model(tmp_path / "none.onnx", "generic-digital", "phas", tmp_path / "none.npz")


def test_wrong_inputs_are_told(tmp_path):
    with pytest.raises(InputFileError, match=r"none\.onnx"):
        compile_model(tmp_path / "none.onnx", "generic-digital", "phase", X)
    with pytest.raises(InputFileError, match=r"none\.npz"):
        compile_model(NET, "generic-digital", "phase", tmp_path / "none.npz")
    with pytest.raises(UnsupportedModel) as caught:
        compile_model(WRONG, "generic-digital", "phase", X)
    assert {n.name for n in caught.value.nodes} >= {"wave"}


def test_a_network_that_is_too_large_is_refused_with_numbers():
    with pytest.raises(DoesNotFit) as caught:
        compiled(tiny_target(neurons=10, rows=1, columns=2))
    assert caught.value.used > caught.value.limit == 2


# --- run ------------------------------------------------------------------------------------------------


def test_a_run_is_exact_and_its_facts_match_the_schema(made):
    outcome = run_program(made.program, Samples(X, LABELS), batch=16)
    facts = outcome.facts
    jsonschema.validate(facts, load_schema("run"))
    assert facts["samples"] == 40
    assert facts["mismatched_outputs"] == facts["mismatched_activations"] == 0
    assert facts["mismatched_membranes"] == facts["saturations"] == 0
    assert facts["accuracy"]["float"] == 1.0  # the labels are the network's own
    assert facts["accuracy"]["chip"] == facts["accuracy"]["integer"] == facts["agreement"]["integer_float"]
    assert facts["agreement"]["chip_integer"] == 1.0
    assert facts["agreement"]["integer_float"] >= 0.9
    given = run_onnx(NET, X)["y"]
    assert outcome.outputs["y"].shape == given.shape
    assert outcome.outputs["y"].dtype == np.float32
    assert np.corrcoef(outcome.outputs["y"].ravel(), given.ravel())[0, 1] > 0.99


def test_batches_threads_and_path_change_no_fact(made):
    def facts(**options):
        timed = ("seconds", "synops_per_second", "literal_samples")
        found = run_program(made.program, Samples(X, LABELS), **options).facts
        return {k: v for k, v in found.items() if not any(word in k for word in timed)}

    assert facts() == facts(batch=7) == facts(threads=2, batch=13) == facts(literal=True)


def test_a_stream_answers_as_frame_by_frame_with_fewer_spikes():
    program = compiled(code="graded").program
    still = Samples({"x": np.repeat(X["x"][:8], 4, axis=0)}, None)
    alone = run_program(program, still)
    for options in ({"batch": 5}, {"threads": 2}, {"literal": True, "batch": 7}):
        stream = run_program(program, still, stream=True, **options)
        assert np.array_equal(stream.outputs["y"], alone.outputs["y"])
        assert [stream.facts[f"mismatched_{k}"] for k in ("outputs", "activations", "membranes")] == [0, 0, 0]
        assert stream.facts["synops_per_sample"] < alone.facts["synops_per_sample"] / 3
        assert (stream.facts["stream"], alone.facts["stream"]) == (True, False)
        jsonschema.validate(stream.facts, load_schema("run"))


def test_without_labels_source_and_golden_network_what_is_unknown_is_null(made, tmp_path):
    facts = run_program(made.program, Samples(X, None)).facts
    assert set(facts["accuracy"].values()) == {None}
    save(replace(made.program, golden=None, source=None, names=None), tmp_path / "bare.nmc")
    bare = run_program(load(tmp_path / "bare.nmc"), Samples(X, LABELS))
    jsonschema.validate(bare.facts, load_schema("run"))
    for key in ("mismatched_outputs", "mismatched_activations", "mismatched_membranes"):
        assert bare.facts[key] is None
    assert bare.facts["accuracy"]["float"] is bare.facts["accuracy"]["integer"] is None
    assert bare.facts["accuracy"]["chip"] is not None
    assert set(bare.facts["agreement"].values()) == {None}
    whole = run_program(made.program, Samples(X, LABELS))
    assert np.array_equal(bare.outputs["y"], whole.outputs["y"])


def test_rate_is_not_held_against_the_golden_network():
    facts = run_program(compiled(code="rate", timesteps=32).program, Samples(X, LABELS)).facts
    assert facts["mismatched_outputs"] is None
    assert facts["agreement"]["chip_integer"] == 1.0


@pytest.mark.parametrize("steps", [3, 9])
def test_the_integer_network_of_rate_sends_as_many_steps_as_the_chip(steps):
    chip = replace(CHIP, signed_spikes=False)  # where spikes come late and stay, counts are not cut sums
    program = compiled(chip, "rate", timesteps=steps, input_encoding="spikes", settle=0).program
    facts = run_program(program, Samples(X, LABELS)).facts
    wanted = decode_outputs(program.golden.network, run_rate(program.golden, X).outputs)["y"]
    classes = wanted.reshape(len(LABELS), -1).argmax(axis=1)
    assert facts["accuracy"]["integer"] == float((classes == LABELS).mean())
    assert facts["accuracy"]["chip"] == facts["accuracy"]["integer"]
    assert facts["agreement"]["chip_integer"] == 1.0
    golden = run_integer(program.golden.network, X).outputs
    cut = decode_outputs(program.golden.network, golden)["y"]
    assert not np.array_equal(cut, wanted)  # cut and rounded, the network would answer otherwise


def test_rounded_sums_of_the_integer_network_are_not_held_against_the_chip(monkeypatch):
    def rounded(spiking, samples, *, dtype=np.float64):
        found = run_rate(spiking, samples)
        if dtype is np.float64:
            return found
        outputs = {name: y.copy() for name, y in found.outputs.items()}
        outputs["y"][::3] *= -1
        return replace(found, outputs=outputs)

    monkeypatch.setattr("nmcompiler.report.run.run_rate", rounded)
    facts = run_program(compiled(code="rate", timesteps=5).program, Samples(X, LABELS)).facts
    assert facts["agreement"]["chip_integer"] == 1.0


def test_a_program_for_an_unknown_backend_is_told(made):
    stranger = replace(made.program, target=replace(made.program.target, backend="stranger"))
    with pytest.raises(UsageError, match="there is no backend 'stranger'"):
        run_program(stranger, Samples(X, None))


# --- check ----------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    (tmp_path / "net.onnx").write_bytes(NET)
    return tmp_path / "net.onnx"


def test_a_network_that_compiles_is_checked_on_every_chip(path):
    facts = check_model(path)
    jsonschema.validate(facts, load_schema("check"))
    assert facts["ok"]
    assert facts["nodes"] == []
    chip = next(t for t in facts["targets"] if t["name"] == "generic-digital")
    assert chip["ok"]
    assert chip["cores"] >= chip["cores_lower_bound"] >= 1


def test_one_chip_can_be_asked_for(path):
    assert [t["name"] for t in check_model(path, "loihi1")["targets"]] == ["loihi1"]
    with pytest.raises(UsageError, match="there is no target"):
        check_model(path, "nothing")


def test_all_nodes_that_cannot_be_compiled_are_listed(path):
    path.write_bytes(WRONG)
    facts = check_model(path)
    jsonschema.validate(facts, load_schema("check"))
    assert not facts["ok"]
    assert facts["targets"] == []
    assert {n["name"]: n["op"] for n in facts["nodes"]}.items() >= {"wave": "Sin"}.items()
    assert all(n["reason"] for n in facts["nodes"])


def test_a_file_that_is_no_network_is_an_error_and_not_an_answer(path):
    path.write_bytes(b"nonsense")
    with pytest.raises(NmcError) as caught:
        check_model(path)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("call", ["legalise", "obstacles", "map", "emit"])
def test_a_backend_that_raises_is_blamed_by_name(monkeypatch, call):
    def broken(*arguments):
        raise KeyError("row")

    monkeypatch.setattr(BackendBase, call, broken)
    sentence = rf"backend 'digital' failed in {call}\(\): KeyError: 'row'"
    with pytest.raises(BackendFault, match=sentence) as caught:
        compiled()
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("code", ["phase", "rate"])
def test_the_outputs_of_a_run_are_those_that_the_simulator_decodes(code):
    program = compiled(code=code).program
    assert (program.fraction_bits(program.outputs[0].population) > 0) == (code == "rate")
    (y,) = decode(program, Simulator(program).run(X).outputs)
    assert np.array_equal(run_program(program, Samples(X, None)).outputs["y"], y)


@pytest.mark.parametrize(
    ("code", "method", "signed", "most"),
    [
        ("phase", "exact", True, 18),
        ("phase", "exact", False, 17),
        ("graded", "auto", True, 18),
        ("phase", "split", False, 18),
        ("ttfs", "split", True, 17),
        ("phase", "prune", False, 17),
        ("rate", "split", True, 18),
        ("rate", "prune", False, 18),
    ],
)
def test_layers_with_too_many_inputs_are_made_to_fit_and_the_program_is_the_network(
    code, method, signed, most
):
    bias = replace(CHIP.bias, synapses=18 - most)
    target = replace(
        tiny_target(fan_in=18, neurons=256, signed_spikes=signed, graded_payload_bits=24), bias=bias
    )
    given = {"input_levels": 15, "levels": 15} if code != "rate" else {}
    made = compiled(target, code, fan_in=method, **given)
    assert max(layer["fan_in"] for layer in made.facts["layers"]) <= 18
    assert made.facts["static_check"]["ok"]
    facts = run_program(made.program, Samples(X, LABELS)).facts
    wrong = [facts[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")]
    assert wrong == ([None] * 3 if code == "rate" else [0, 0, 0])
    assert facts["accuracy"]["chip"] > 0.5
    used = made.program.report["fan_in"]["method"]
    assert used == ("exact" if method == "auto" else method)
    assert [rung["stage"] for rung in facts["ladder"]["stages"]] == ["float", "legalised", "integer", "chip"]


def test_exact_partial_sums_answer_as_the_network_without_a_limit():
    outputs = []
    for fan_in in (None, 18):
        made = compiled(tiny_target(fan_in=fan_in, neurons=256), fan_in="exact", input_levels=15, levels=7)
        outputs.append(run_program(made.program, Samples(X, LABELS)).outputs["y"])
    np.testing.assert_array_equal(*outputs)


def test_where_exact_sums_do_not_fit_an_event_the_default_rounds_them():
    made = compiled(tiny_target(fan_in=18, neurons=256, graded_payload_bits=9), "graded")
    assert made.program.report["fan_in"]["method"] == "split"


def test_a_code_that_sends_no_large_values_refuses_exact_partial_sums():
    text = sentence(UsageError, CHIP, "ttfs", fan_in="exact")
    assert "--fan-in exact does not apply to the coding 'ttfs'" in text
    assert "phase or graded" in text
    assert "allowed: auto, exact" in sentence(UsageError, CHIP, fan_in="halve")


def test_layers_with_too_many_inputs_can_be_refused():
    text = sentence(DoesNotFit, tiny_target(fan_in=18), fan_in="refuse")
    assert "needs 48 fan_in where tiny has 18" in text
