"""`python -m laptop` is the command `laptop`."""

from laptop.cli import main

main(prog_name="laptop")
