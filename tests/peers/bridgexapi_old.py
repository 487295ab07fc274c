"""Drive the published Python client 0.1.0, found on PYTHONPATH: answers as one JSON line."""

from __future__ import annotations

import json
import sys
from typing import Any

from bridgexapi import BridgeXAPI

url, main, public, empty = sys.argv[1:]
SEND: dict[str, Any] = {
    "route_id": 1,
    "caller_id": "BRIDGEXAPI",
    "number": "31612345678",
    "message": "hello",
}


def refusal(key: str, **change: Any) -> list[str]:
    """Return the name and the words of what the client raises."""
    try:
        BridgeXAPI(key, base_url=url).send_one(**SEND | change)
    except Exception as error:  # noqa: BLE001 - which one it is is the question
        return [type(error).__name__, str(error)]
    return []


answer = BridgeXAPI(main, base_url=url).send_one(**SEND)
print(  # noqa: T201 - read by the test
    json.dumps(
        {
            "order_id": answer.order_id,
            "ids": [each.bx_message_id for each in answer.messages],
            "balance_after": answer.balance_after,
            "has_reports": hasattr(BridgeXAPI, "get_dlr"),
            "refusals": [
                refusal("nonsense"),
                refusal(public, route_id=5),
                refusal(main, number="905321234567"),
                refusal(empty),
                refusal(main, message=""),
            ],
        }
    )
)
