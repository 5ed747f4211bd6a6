"""How any use case is built, judged, promoted and watched."""
