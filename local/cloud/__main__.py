"""Runs MiniStack with our fixes: `python -m local.cloud`."""

from __future__ import annotations

import ministack.app as emulator

from local.cloud.mend import mend

if __name__ == "__main__":
    mend()
    emulator.main()
