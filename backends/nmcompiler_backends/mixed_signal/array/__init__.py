"""Arrays of analog neurons: every synapse and neuron is a circuit of its own, and no two are alike."""
