"""The program: what a chip executes, on disk and in memory, and the network read back from it."""
