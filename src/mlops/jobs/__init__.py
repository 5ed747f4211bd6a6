"""One module per task: read, decide, write, report."""
