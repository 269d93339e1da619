"""Fake `torch` packages, each failing in one of the ways in which a real one has failed somebody.

They are written into a directory to be put first on PYTHONPATH. All of them lead to GYM_ONLY.
"""

from __future__ import annotations

from pathlib import Path

SOURCES = {
    "hangs": """
        import time
        while True:
            time.sleep(60)
        """,
    "ignores_sigterm": """
        import signal
        import time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)
        """,
    "segfaults": """
        import os
        import signal
        os.kill(os.getpid(), signal.SIGSEGV)
        """,
    "exits_0": """
        import os
        os._exit(0)
        """,
    "floods_stdout": """
        import os
        for _ in range(100):
            os.write(1, bytes(2**20))
        """,
    "leaves_grandchild": """
        import subprocess
        import sys
        code = (
            "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
            "os.fork() and os._exit(0); time.sleep(10**6)"
        )
        subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True).wait()
        """,
    "crashes_at_matmul": """
        import os
        __version__ = "2.13.0"
        class Tensor:
            grad = None
            def __matmul__(self, other):
                os.abort()
        def ones(*shape, **options):
            return Tensor()
        """,
}

EXPECTED_STATES = {
    "hangs": "timeout",
    "ignores_sigterm": "timeout",
    "segfaults": "crashed",
    "exits_0": "lied",
    "floods_stdout": "broken",
    "leaves_grandchild": "broken",
    "crashes_at_matmul": "crashed",
}

FAKES: tuple[str, ...] = tuple(SOURCES)


def write_fake_torch(directory: Path, kind: str) -> None:
    """Makes `directory/torch` a package that fails in the way `kind`, one of `FAKES`, says."""
    lines = SOURCES[kind].strip("\n").splitlines()
    source = "\n".join(line.removeprefix(" " * 8) for line in lines)
    package = directory / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source + "\n", encoding="utf-8")
