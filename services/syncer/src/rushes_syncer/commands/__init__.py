"""The commands of the syncer, one a file."""
