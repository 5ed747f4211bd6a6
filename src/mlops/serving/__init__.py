"""The endpoint of the champion."""
