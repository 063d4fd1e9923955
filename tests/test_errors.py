import pytest

from nmcompiler import errors
from nmcompiler.errors import DoesNotFit, NmcError, RefusedNode, UnsupportedModel, UsageError, nearest

EXIT_CODES = {
    "UsageError": 2,
    "InputFileError": 2,
    "UnsupportedModel": 2,
    "TargetFileError": 2,
    "DoesNotFit": 1,
    "NotVerified": 1,
    "BackendFault": 3,
}


@pytest.mark.parametrize(("name", "code"), EXIT_CODES.items())
def test_every_kind_of_error_has_its_exit_code_and_one_root(name, code):
    kind = getattr(errors, name)
    assert issubclass(kind, NmcError)
    assert kind.exit_code == code
    assert name in errors.__all__


def test_a_sentence_says_what_was_asked_found_allowed_and_what_to_try():
    error = UsageError("it is 9", asked="--levels", allowed="1 to 7", hint="try 7")
    assert str(error) == "--levels: it is 9; allowed: 1 to 7; try 7"
    assert str(UsageError("it is 9")) == "it is 9"


def test_a_refused_model_names_every_node():
    nodes = [RefusedNode("a", "Sin", "no rule"), RefusedNode("b", "LSTM", "no state", "unroll it")]
    error = UnsupportedModel(iter(nodes), asked="net.onnx")
    assert error.nodes == tuple(nodes)
    assert str(error) == (
        "net.onnx: 2 nodes cannot be compiled: Sin 'a': no rule; LSTM 'b': no state (unroll it)"
    )
    assert "1 node cannot" in str(UnsupportedModel(nodes[:1]))


def test_a_network_that_does_not_fit_is_told_with_numbers():
    error = DoesNotFit(layer="conv", resource="fan_in", used=9, limit=4, target="chip", hint="use groups")
    assert str(error) == "layer 'conv' needs 9 fan_in where chip has 4; use groups"
    assert (error.layer, error.resource, error.used, error.limit) == ("conv", "fan_in", 9, 4)
    assert error.node == "conv"


def test_the_nearest_names_are_offered_else_all():
    assert nearest("lohi2", ["loihi1", "loihi2", "odin"]) == "did you mean 'loihi2' or 'loihi1'?"
    assert nearest("zzz", {"b": 1, "a": 2}) == "choose one of a, b"
