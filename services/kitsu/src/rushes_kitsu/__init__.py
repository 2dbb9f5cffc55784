"""Lets a Kitsu server hand its movies to Rushes: Zou calls a remote worker, and this service answers."""
