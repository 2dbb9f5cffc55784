"""The commands that operators type, one a file."""
