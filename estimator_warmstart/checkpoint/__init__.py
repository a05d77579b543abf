"""Old models: where their files are and what they hold. Knows no graph."""
