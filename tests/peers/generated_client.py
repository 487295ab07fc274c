"""Send, wait and read with the client that openapi-python-client made, in its environment.

    python generated_client.py <folder of arrivals_client> <address> <key>

Prints what it was told as JSON.
"""

from __future__ import annotations

import io
import json
import sys

sys.path.insert(0, sys.argv[1])

from arrivals_client import AuthenticatedClient
from arrivals_client.api.account import read_balance
from arrivals_client.api.batches import read_batch, send_batch
from arrivals_client.api.messages import list_messages, read_message, wait_for_outcome
from arrivals_client.api.sending import estimate, send
from arrivals_client.models import BodyMessage, SendBody
from arrivals_client.types import File

TEXT = "Your code is 4821"
client = AuthenticatedClient(
    base_url=sys.argv[2],
    token=sys.argv[3],
    prefix="",
    auth_header_name="X-API-KEY",
    raise_on_unexpected_status=True,
)

with client:
    body = SendBody(caller_id="ARRIVALS", route_id=1, numbers=["99900000001"], message=TEXT)
    priced = estimate.sync(client=client, body=body)
    sent = send.sync(client=client, body=body, idempotency_key="one")
    name = sent.messages[0].bx_message_id
    outcome = wait_for_outcome.sync(name, client=client, wait="20")
    found = read_message.sync(name, client=client)
    refused = send.sync(client=client, body=SendBody(caller_id="ARRIVALS", route_id=1))
    lines = [BodyMessage(to=f"9990000000{n}", message=f"Hello {n}").to_dict() for n in (1, 2)]
    stream = File(payload=io.BytesIO("\n".join(map(json.dumps, lines)).encode()))
    batch = send_batch.sync(client=client, body=stream, caller_id="ARRIVALS", route_id=1)
    progress = read_batch.sync(batch.batch_id, client=client)
    page = list_messages.sync(client=client, limit=1)
    balance = read_balance.sync(client=client)

json.dump(
    {
        "estimated": priced.estimated_cost,
        "cost": sent.cost,
        "state": outcome.outcome.state,
        "read": [found.bx_message_id, found.layers.outcome.state],
        "refused": [refused.code, refused.field],
        "batch": [batch.accepted, batch.refused, progress.received],
        "page": len(page.messages),
        "currency": balance.currency,
    },
    sys.stdout,
)
