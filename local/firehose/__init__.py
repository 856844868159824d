"""A stand-in for Amazon Data Firehose: delivery streams from Kinesis or PutRecord to S3, or through S3 to Redshift.

Implemented as on AWS: BufferingHints, the keys of objects, the transformation by a Lambda, the retry of COPY for its
duration and then the manifest under `errors/`, and at-least-once delivery. Not implemented: other sources, other
destinations and their settings, which are refused, and the username and password of the destination, which are ignored.
Source: Amazon Data Firehose Developer Guide, "Data delivery" and "Data transformation".
"""
