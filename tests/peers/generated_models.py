"""Send, wait and read through the models that datamodel-code-generator made, and httpx.

    python generated_models.py <folder of arrivals_models.py> <address> <key>

Every answer is checked by its model. Prints what it was told as JSON.
"""

from __future__ import annotations

import json
import sys

import httpx

sys.path.insert(0, sys.argv[1])

import arrivals_models as models

with httpx.Client(base_url=sys.argv[2], headers={"X-API-KEY": sys.argv[3]}) as client:

    def post(path: str, body: str, model: type[models.BaseModel]) -> models.BaseModel:
        return model.model_validate_json(client.post(path, content=body).content)

    def get(path: str, model: type[models.BaseModel]) -> models.BaseModel:
        return model.model_validate_json(client.get(path, timeout=30).content)

    body = models.SendBody(
        caller_id="ARRIVALS", route_id=1, numbers=["99900000001"], message="Your code is 4821"
    ).model_dump_json(exclude_none=True)
    priced = post("/api/v1/estimate", body, models.EstimateAnswer)
    sent = post("/api/v1/send_sms", body, models.SendAnswer)
    name = sent.messages[0].bx_message_id
    outcome = get(f"/api/v1/messages/{name}/outcome?wait=20", models.OutcomeAnswer)
    found = get(f"/api/v1/messages/{name}", models.MessageAnswer)
    refused = post("/api/v1/send_sms", '{"caller_id": "ARRIVALS"}', models.Problem)
    lines = [
        models.BatchBody(to=f"9990000000{n}", message=f"Hello {n}").model_dump_json()
        for n in (1, 2)
    ]
    here = "/api/v1/batches?caller_id=ARRIVALS&route_id=1"
    batch = post(here, "\n".join(lines), models.BatchAnswer)
    progress = get(f"/api/v1/batches/{batch.batch_id}", models.BatchProgress)
    page = get("/api/v1/messages?limit=1", models.MessagePage)
    balance = get("/api/v1/balance", models.BalanceAnswer)

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
