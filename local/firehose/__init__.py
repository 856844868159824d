"""A stand-in for Amazon Data Firehose, for delivery streams from a Kinesis stream or PutRecord into S3, or by S3 into Redshift.

Kept as on AWS: BufferingHints, the keys of objects, the transformation by a Lambda, the retry of COPY for its duration
and then the manifest under `errors/`, at-least-once delivery. Left out: other sources, destinations and settings of them, which it refuses,
and the destination's username and password, because the local warehouse has no users.
Source: Amazon Data Firehose Developer Guide, "Data delivery" and "Data transformation".
"""
