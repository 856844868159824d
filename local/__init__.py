"""The local cloud: emulators and stand-ins of AWS services, and the processes that supervise them."""
