"""From files in the landing volume to features and labels."""
