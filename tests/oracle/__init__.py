"""A slow simulator of program files, written from the documents alone: what the fast one is compared to."""
