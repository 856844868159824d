"""Operations of Kinesis as on AWS: pages of ListShards, and the metric of what is put."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from ministack.core import responses
from ministack.services import cloudwatch, kinesis

from local.cloud.json_text import json_text

Answer = tuple[int, dict[str, Any], bytes]


def paged_by_token(list_shards: Callable[[dict], Answer]) -> Callable[[dict], Answer]:
    """Returns ListShards with tokens that identify the stream: Kinesis API reference, ListShards.

    On AWS, a token is an opaque text for clients. This one contains MiniStack's token and the ARN of the stream. A
    request that names a stream beside the token is refused, so boto3's paginator fails for more than one page, as on
    AWS (issue 2009 of botocore).
    """

    def call(data: dict) -> Answer:
        asked = dict(data)
        if token := asked.pop("NextToken", None):
            for name in ("StreamName", "StreamARN", "StreamCreationTimestamp", "ExclusiveStartShardId"):
                if name in asked:
                    return _invalid_argument(f"NextToken and {name} cannot be provided together.")
            try:
                inner = json.loads(base64.urlsafe_b64decode(token))
                stream, inner_token = inner["StreamARN"], inner["NextToken"]
            except (ValueError, TypeError, KeyError):
                return _invalid_argument("NextToken is invalid: expected the one of an answer of ListShards")
            asked |= {"StreamARN": stream, "NextToken": inner_token}
        elif not asked.keys() & {"StreamName", "StreamARN"}:
            return _invalid_argument("Either NextToken or StreamName should be provided.")
        status, headers, body = list_shards(asked)
        found = json.loads(body)
        if "NextToken" in found:
            _, stream_found = kinesis._resolve_stream(asked)
            both = {"StreamARN": stream_found["StreamARN"], "NextToken": found["NextToken"]}
            found["NextToken"] = base64.urlsafe_b64encode(json.dumps(both).encode()).decode()
            body = json_text(found).encode()
        return status, headers, body

    return call


def _invalid_argument(message: str) -> Answer:
    refused: Answer = responses.error_response_json("InvalidArgumentException", message, 400)
    return refused


def measured(function: Callable[[dict], Any]) -> Callable[[dict], Any]:
    """Returns PutRecord or PutRecords, which then records the metric of the stream."""

    def call(data: dict) -> Any:
        answer = function(data)
        if answer[0] == 200:
            records = len(data.get("Records", [None]))
            name, _ = kinesis._resolve_stream(data)
            cloudwatch.record_metric("AWS/Kinesis", "IncomingRecords", records, "Count", {"StreamName": name})
        return answer

    return call
