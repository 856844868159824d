"""The contracts of the feeds, the roles of their columns, the SQL generated from them, and the envelope of an event."""
