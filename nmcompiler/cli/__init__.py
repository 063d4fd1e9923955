"""The command line ``nmc``: one file per subcommand, each importing what it needs only when it runs."""
