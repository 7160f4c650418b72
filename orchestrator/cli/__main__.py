"""`python -m orchestrator.cli` is the command `sweep`."""

import contextlib

from orchestrator.cli.main import main

with contextlib.suppress(BrokenPipeError):
    main()
