"""python -m graphdl: the command line."""

from graphdl.cli import main

main()
