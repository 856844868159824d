"""Events in quarantine: chosen, and given to the load again or dismissed."""
