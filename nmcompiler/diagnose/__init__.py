"""Why a network loses accuracy on its way to the chip: which layer, which cause, and what helps."""
