"""`python -m streams.cli`: the command `sluice`, wherever its script is."""

from streams.cli import main

main()
