"""`python -m pipelines` is `discover`."""

from pipelines.cli import main

main()
