"""The demand forecast: its data, its program in a container, and its marts."""
