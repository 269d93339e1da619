"""`python -m curriculum`."""

from __future__ import annotations

import sys

from curriculum.door.door import main

sys.exit(main())
