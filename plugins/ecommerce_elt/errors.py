"""Two families of errors: what a retry cannot mend, and what it can."""


class PermanentError(Exception):
    """The work cannot succeed as it is: the message says what to change. A retry changes nothing."""


class TransientError(Exception):
    """The work may succeed later: a retry is the right answer."""
