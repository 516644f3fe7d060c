"""The gateway for teams: LiteLLM before the stack's models, with keys, budgets, limits and a fallback."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tandem.settings.commands import below
from tandem.settings.section import Section
from tandem.settings.types import (
    DatabaseSnapshotName,
    DomainName,
    ProviderModel,
    ProviderUrl,
    SecretArn,
    ServedName,
    StackUrl,
)

DatabaseClass = Literal["db.t4g.small", "db.t4g.medium", "db.m7g.large"]


class TokenPriceSettings(Section):
    """What tokens of a model cost, in US dollars a million."""

    prompt_usd_per_million: float = Field(ge=0, le=10_000, description="Of a prompt.")
    answer_usd_per_million: float = Field(ge=0, le=10_000, description="Of an answer.")


class GatewayModelSettings(TokenPriceSettings):
    """A model that another stack or region serves."""

    url: StackUrl = Field(description="Of the other stack, as its output `url` says; without /v1.")
    key_secret_arn: SecretArn = Field(description="A secret whose text is a client's key there, and nothing else.")


class GatewayFallbackSettings(TokenPriceSettings):
    """A model of a cloud provider, for what the stack's own models do not answer."""

    model: ProviderModel = Field(
        description="As LiteLLM names it: bedrock/MODEL asks Amazon Bedrock of the stack's region by the gateway's "
        "role, without a key."
    )
    url: ProviderUrl | None = Field(
        default=None,
        description="Of a provider that speaks OpenAI's API (model openai/NAME). Unset: the provider's own.",
    )
    key_secret_arn: SecretArn | None = Field(
        default=None,
        description="A secret whose text is the provider's key. Unset for Amazon Bedrock, which needs none.",
    )
    when: tuple[Literal["failing", "tagged"], ...] = Field(
        default=("failing",),
        min_length=1,
        max_length=2,
        description="failing: the own model answers 429 or 5xx, as it does with a full queue, is silent for "
        "afterSeconds, or is not there. tagged: requests with the tag `cloud` (header x-litellm-tags). Prompts then "
        "leave the stack.",
    )
    after_seconds: int = Field(
        default=60,
        ge=1,
        le=3600,
        description="So long an own model may be silent in a stream. Other answers come at once or not at all: they "
        "have timeouts.clientSeconds.",
    )
    max_usd_per_day: float = Field(
        gt=0,
        le=1_000_000,
        description="What it may cost in 24 hours, of all copies together; after that clients hear the own model's "
        "error. Requests that run when it is reached end.",
    )


class GatewayRestoreSettings(Section):
    """What a gateway of before has left, of which this one is made. Both stay here while this one lives."""

    snapshot: DatabaseSnapshotName = Field(
        description="Of its database (`tandem audit` lists it), of which the new one is made. Asked when that is made, "
        "and never again."
    )
    secret_arn: SecretArn = Field(
        description="Its keys, of which the salt alone is used on: nothing else opens what LiteLLM had encrypted. "
        "Secrets Manager restores it within 30 days."
    )


class GatewaySettings(Section):
    """LiteLLM on Fargate, with PostgreSQL (RDS), beside the direct way, which stays the fast one (docs/gateway.md)."""

    host_name: DomainName = Field(
        description="Where teams ask; a name in loadBalancer.hostedZoneId, or of loadBalancer.certificateArn."
    )
    replicas: int = Field(
        default=2,
        ge=1,
        le=12,
        description="Copies of 1 vCPU and 4 GiB, $42 a month each. One answers some 45 requests a second, or passes on "
        "35 streams at once. From 2 on a cache, $9 a month, makes limits hold over all; of 1 none is made.",
    )
    public_admin: bool = Field(
        default=False,
        description="Forwards LiteLLM's admin interface and API (/ui, /key, /team), too, for self-service: then the "
        "master key is all that guards it. false: operators reach it through Session Manager only.",
    )
    keep_prompts: bool = Field(default=False, description="Writes prompts and answers into the database, too.")
    spend_log_days: int = Field(
        default=30, ge=1, le=400, description="How long it keeps a line a request, about 1 KB; sums by team stay."
    )
    database_class: DatabaseClass = Field(
        default="db.t4g.small",
        description="Of the database: $23, $47 and $123 a month. Each has connections for all copies, and a rollout's.",
    )
    database_max_gib: int = Field(
        default=100,
        ge=22,
        le=1000,
        description="It begins with 20 GiB ($2.30 a month), and grows up to this. What it has grown by stays: AWS "
        "refuses, at `up`, less than a tenth above what it has.",
    )
    database_standby: bool = Field(
        default=False,
        description="A second one in another zone takes over within two minutes, at twice the price. Without it a lost "
        "zone stops the gateway until the database is back: new keys get 503; the direct way goes on.",
    )
    database_backup_days: int = Field(
        default=7, ge=1, le=35, description="It can be restored to any moment of the last days, this many."
    )
    restore: GatewayRestoreSettings | None = Field(
        default=None, description="Keys, teams and spend of a gateway that is gone. Unset: an empty database."
    )
    expected_use_percent: int = Field(
        default=50,
        ge=1,
        le=100,
        description="Share of what servers could answer that they are asked for on average. A token of an own model "
        "costs what its hosts cost, over so many: half the use, twice the price.",
    )
    prices: dict[ServedName, TokenPriceSettings] = Field(
        default_factory=dict,
        max_length=60,
        description="Prices of own models by the name that clients send, in place of those; of a model that is not "
        "sized it must be here, for without a price no budget ends.",
    )
    models: dict[ServedName, GatewayModelSettings] = Field(
        default_factory=dict,
        max_length=20,
        description="Models of other stacks and regions by the name that clients send. Of a name that this stack "
        "serves, too, they are asked when its own fails.",
    )
    fallback: GatewayFallbackSettings | None = Field(
        default=None, description="A cloud model in place of an own one that generates. Unset: none."
    )

    @property
    def has_cache(self) -> bool:
        """Whether several copies share their limits."""
        return self.replicas > 1

    @property
    def secret_arns(self) -> dict[str, str]:
        """Of keys that are not the stack's, by the setting that names each."""
        found = {
            f"{below('gateway.models', name)}.keySecretArn": one.key_secret_arn for name, one in self.models.items()
        }
        if self.fallback and self.fallback.key_secret_arn:
            found["gateway.fallback.keySecretArn"] = self.fallback.key_secret_arn
        if self.restore:
            found["gateway.restore.secretArn"] = self.restore.secret_arn
        return found
