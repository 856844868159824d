"""The local cloud: emulators and stand-ins for what AWS runs, and the processes that keep them up."""
