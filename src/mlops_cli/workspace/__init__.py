"""What a workspace must hold, what it holds, and the commands between."""
