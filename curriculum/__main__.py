"""`python -m curriculum`."""

from __future__ import annotations

import sys

from curriculum.cli.main import main

sys.exit(main())
