"""A backend for the Acme One chip."""
