"""The values that travel through the compiler: graphs, layers, networks, schedules, cores."""
