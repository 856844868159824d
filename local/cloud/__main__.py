"""Runs MiniStack with our fixes: `python -m local.cloud`."""

from __future__ import annotations

import ministack.app as emulator

from local.cloud.fixes import apply_fixes

if __name__ == "__main__":
    apply_fixes()
    emulator.main()
