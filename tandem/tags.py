"""The tags that a stack's resources carry in the account: who they belong to, and what may be done with them."""

from __future__ import annotations

PROJECT_TAG = "tandem:project"
PROJECT = "tandem"
STACK_TAG = "tandem:stack"
REGION_TAG = "tandem:region"
"""Tells apart what is the account's and not a region's, such as roles, where two regions have a stack of one name."""
STACK_ID_TAG = "tandem:stack-id"
"""The random id of one life of a stack, from its first `up` to its destroy: two states of one name differ in it."""
EPHEMERAL_TAG = "tandem:ephemeral"
"""`true` on everything of a stack that may be removed with all it has; absent on everything of the others."""
EXPIRES_TAG = "tandem:expires-at"
"""On the parameter that holds the stack's name: when the stack ends, RFC 3339 in UTC."""
CREATOR_TAG = "tandem:creator"
"""On a cluster: who made it, `role/NAME` or `user/NAME`; EKS lets that one in by itself, and tells nobody its name."""
GATEWAY_TAG = "tandem:gateway"
"""On the target group of the gateway's copies, which serve no model."""
MODEL_TAG = "tandem:model"
"""On a target group: the model that it leads to."""
MAIN_MODEL = "main"
"""Name of the model that every stack has; further ones have names of their own."""

ISSUED_KEYS, DECLARED_KEYS = "issued-keys", "declared-keys"
"""In the names of a stack's secrets of clients: those that `tandem keys` made, and those that its settings declare."""
TEAM_KEYS = "team-keys"
"""In the names of secrets, each of which holds a key of a team of the gateway."""


def batch_name(stack: str) -> str:
    """How the names of a stack's bucket and group for batches begin, before what the engine puts behind them."""
    return f"tandem-{stack}-batch"


def stack_tags(stack: str, region: str, *, ephemeral: bool) -> dict[str, str]:
    """What everything of a stack carries beside its id, known before anything is made."""
    own = {PROJECT_TAG: PROJECT, STACK_TAG: stack, REGION_TAG: region}
    return own | {EPHEMERAL_TAG: "true"} if ephemeral else own


WEB_ACL_DESCRIPTION = "Limits the requests of one client address"
"""Of our web ACLs: a listing shows it, and tags only to a call for each."""
PARAMETER_PATH = f"/{PROJECT}"
"""Where parameters hold the names of stacks: STACK/ID below it."""


def parameter_path(stack: str) -> str:
    """Where the parameter that holds a stack's name is, by the stack's id."""
    return f"{PARAMETER_PATH}/{stack}"


ACTIVATE_TAG = (
    "`aws ce update-cost-allocation-tags-status --region us-east-1 --cost-allocation-tags-status "
    f"TagKey={STACK_TAG},Status=Active` (from the payer account; figures come a day later)"
)
"""What to do when Cost Explorer knows nothing of a stack that runs."""
