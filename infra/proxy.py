"""Starts the proxy that injects faults, in this process. infra/stack runs it with the virtual environment's Python."""

import sys

from emulator import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    from microburst.cli import main

    sys.exit(main())
