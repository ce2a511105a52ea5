"""Ctrl-C in a loop over a loader."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path


def test_ctrl_c_ends_a_loop(tmp_path):
    """A script in a loop over a loader, interrupted: it ends at once, with KeyboardInterrupt and no thread left."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import signal, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs this may have it ignored
        from loaders import DetectionLoader
        from tests.loaders.test_loader import many
        loader = DetectionLoader(many(), 2, 640, threads=4)
        try:
            print("ready", flush=True)
            while True:
                for batch in loader:
                    pass
        except KeyboardInterrupt:
            print("interrupted", [t.name for t in threading.enumerate() if t.name.startswith("loader-")], flush=True)
        """)
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    process.send_signal(2)
    try:
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()  # otherwise its loop would slow down all later tests
    assert output == "interrupted []\n" and process.returncode == 0


# --- broken images ----------------------------------------------------------------------------------------------------
