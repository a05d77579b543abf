"""The new side: describes a graph as logical variables. It does not know checkpoints."""
