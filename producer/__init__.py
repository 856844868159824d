"""Puts e-commerce events on the stream, from files and from simulators: `python -m producer --help`."""
