"""What several answers are made of."""

from __future__ import annotations

from typing import Annotated

import msgspec

Money = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        description="A JSON number printed from a whole number of millionths: never rounded",
        extra_json_schema={"type": "number"},
    ),
]
