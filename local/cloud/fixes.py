"""Fixes of MiniStack for defects that would affect a shop's events. See docs/adr/0003.

- A stream removes only records that all mappings have read. MiniStack iterates over every record at each PutRecords,
  and when records expire, mappings skip the same number of unread records.
- Event source mappings follow the rules of AWS (local/event_source.py), with one thread for each shard. MiniStack's
  mappings ignore partial batch responses, retry limits and on-failure destinations, so a failing Lambda loses its
  records.
- A second process of this module serves DynamoDB, and the Firehose stand-in serves delivery streams: each process has
  one thread, and writing half a million items would hold up the main job. Crawlers, jobs and workgroups belong to the
  Glue stand-in, because MiniStack's do nothing. The resources of a template are created there.
- The stream and its consumers have the same metrics as on AWS: IncomingRecords and IteratorAge. Alarms evaluate the
  metric of their dimensions, period by period; MiniStack's alarms combine all metrics of the name.
- A further page of ListShards is requested by its token alone, which identifies the stream; MiniStack also requires the
  stream.
- The tables of DynamoDB are saved at the end without copying them first, and conditions are parsed once.
- The stages of HTTP APIs write their access logs, including the context of the authorizer; MiniStack only stores the
  setting.
- orjson writes JSON if the result has the same value, and the garbage collector runs a hundredth as often.
"""

from __future__ import annotations

import gc
import json
import threading
from functools import lru_cache
from types import SimpleNamespace

import ministack.app as emulator
from ministack.core import lambda_runtime, responses
from ministack.services import apigateway, cloudwatch, dynamodb, kinesis, lambda_svc
from ministack.services.cloudformation import provisioners

from local.cloud import access_logs, mappings, streams, tables
from local.cloud.alarms import evaluate_alarm
from local.cloud.json_text import json_text
from local.cloud.template_resources import HANDLERS
from local.own_pages import OwnPagesOnly

OBJECTS_BETWEEN_COLLECTIONS = 100_000


def apply_fixes() -> None:
    """Replaces functions of MiniStack with ours."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, 20, 20)
    emulator.app = OwnPagesOnly(emulator.app)
    for module in (dynamodb, kinesis, lambda_runtime, lambda_svc, responses):
        module.json = SimpleNamespace(**{**vars(json), "dumps": json_text})
    dynamodb._item_size_bytes = tables.item_size
    kinesis._expire_records = lambda stream: None
    kinesis._get_shard_iterator = mappings.locked(kinesis._get_shard_iterator)
    kinesis._get_records = mappings.locked(kinesis._get_records)
    cloudwatch._evaluate_alarm = evaluate_alarm
    kinesis._list_shards = streams.paged_by_token(kinesis._list_shards)
    kinesis._put_record = streams.measured(kinesis._put_record)
    kinesis._put_records = streams.measured(kinesis._put_records)
    lambda_svc._poll_kinesis = lambda: False
    apigateway._handle_execute_in_scope = access_logs.with_access_log(apigateway._handle_execute_in_scope)
    apigateway._authorize_request_v2 = access_logs.remembering_authorizer(apigateway._authorize_request_v2)
    apigateway.new_uuid = access_logs.request_id
    threading.Thread(target=mappings.supervise, name="event-source-mappings", daemon=True).start()

    dynamodb.get_state = tables.uncopied(dynamodb.get_state)
    for name in ("_create_table", "_delete_table", "_update_ttl", "_update_continuous_backups"):
        setattr(dynamodb, name, tables.then_saved(getattr(dynamodb, name)))
    # Each number and each condition is examined several times for every item, and the same ones repeat often.
    for name in ("_number_error", "_ddb_canonicalize_number", "_number_size_bytes", "_tokenize"):
        setattr(dynamodb, name, tables.remembered(getattr(dynamodb, name)))
    dynamodb._condition_syntax_error = lru_cache(dynamodb._condition_syntax_error)
    provisioners._RESOURCE_HANDLERS |= HANDLERS
