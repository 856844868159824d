"""Chooses events in quarantine, and replays or dismisses them."""
