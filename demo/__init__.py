"""Shows the whole loop on the sample: one script that calls the commands `laptop` and `mlops`."""
