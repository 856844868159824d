"""Producer of e-commerce events for the stream, from files and from simulators: `python -m producer --help`."""
