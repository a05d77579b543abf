"""A report as one page for a browser: a file that holds all it needs, and loads and sends nothing."""
