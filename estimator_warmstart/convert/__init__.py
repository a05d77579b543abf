"""Checkpoints made from checkpoints, streamed from file to file."""
