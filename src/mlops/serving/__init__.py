"""The endpoint of the champion: what serves, how it is checked, and how it is put back."""
