"""`python -m curriculum`."""

from __future__ import annotations

import sys

from curriculum.cli.main import main
from models.numeric.allocator import keep_freed_memory

keep_freed_memory()
sys.exit(main())
