"""Data of the built-in demo: a Fashion-MNIST network and images for it."""
