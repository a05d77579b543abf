"""The ways in: hooks, Scaffold, saver, Estimator wrapper, WarmStartSettings, params."""
