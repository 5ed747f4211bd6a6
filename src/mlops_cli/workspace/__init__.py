"""Commands that compare what a workspace must contain with what it contains."""
