"""Serve the champion at an endpoint, check it, and restore the previous state if it fails."""
