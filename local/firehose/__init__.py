"""A stand-in for Amazon Data Firehose, for delivery streams from a Kinesis stream into Redshift.

Kept as on AWS: BufferingHints, the keys of objects, the transformation by a Lambda, the retry of COPY for its duration
and then the manifest under `errors/`, at-least-once delivery. Left out: other sources and destinations, which it refuses,
and the destination's username and password, because the local warehouse has no users.
Source: Amazon Data Firehose Developer Guide, "Data delivery" and "Data transformation".
"""
