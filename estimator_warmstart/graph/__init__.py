"""New models: what a graph has, as logical variables. Knows no checkpoint."""
