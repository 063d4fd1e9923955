"""For authors of backends and for tests: chips, networks and programs of any size, mutations, conformance."""

from nmcompiler.testing.adversarial import ADVERSARIAL, adversarial_network
from nmcompiler.testing.conformance import BackendConformance
from nmcompiler.testing.mutations import CROSSBAR_MUTATIONS, MUTATIONS, Mutation, mutations
from nmcompiler.testing.networks import evaluate_naively, random_network, random_samples
from nmcompiler.testing.programs import random_cores, random_program
from nmcompiler.testing.streams import random_stream
from nmcompiler.testing.suited import suited_network
from nmcompiler.testing.targets import boundless_target, tiny_target

__all__ = [
    "ADVERSARIAL",
    "CROSSBAR_MUTATIONS",
    "MUTATIONS",
    "BackendConformance",
    "Mutation",
    "adversarial_network",
    "boundless_target",
    "evaluate_naively",
    "mutations",
    "random_cores",
    "random_network",
    "random_program",
    "random_samples",
    "random_stream",
    "suited_network",
    "tiny_target",
]
