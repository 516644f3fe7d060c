"""What must hold of the gateway for teams."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from tandem.errors import Problem
from tandem.settings.commands import below, removed, set_to
from tandem.settings.schema import Settings
from tandem.settings.types import EVERYONE

BEDROCK = "bedrock/"
OWN_PROVIDER = "hosted_vllm"
"""By which LiteLLM asks the stack's own models, and those of other stacks."""


def the_stack_can_be_reached(settings: Settings) -> Iterator[Problem]:
    """The gateway asks own models by their public names: from a NAT gateway, whose address the load balancer lets in,
    or from inside where that is internal. With publicHosts its copies have addresses that nobody knows before."""
    balancer = settings.load_balancer
    closed = EVERYONE not in balancer.client_cidrs and not balancer.internal
    if settings.gateway and closed and settings.network.egress == "publicHosts":
        yield Problem(
            key="network.egress",
            wrong="copies of the gateway have new addresses after each start, which loadBalancer.clientCidrs keeps out",
            value="publicHosts",
            allowed="natPerZone or singleNat with gateway and loadBalancer.clientCidrs, or clientCidrs 0.0.0.0/0",
            fix=f"{set_to('network.egress', 'singleNat')}, or {removed('loadBalancer.clientCidrs')}",
        )


def tokens_have_prices(settings: Settings) -> Iterator[Problem]:
    """A model without a price costs teams nothing, and no budget of theirs ends."""
    if settings.gateway is None:
        return
    for own in settings.each.values():
        for name in own.inference.names if not own.inference.is_sized else ():
            if name not in settings.gateway.prices:
                key = below("gateway.prices", name)
                yield Problem(
                    key=key,
                    wrong="this model is not sized, so that nothing says what its tokens cost",
                    value=None,
                    allowed="promptUsdPerMillion and answerUsdPerMillion, or inference.modelConfigFile",
                    fix=set_to(f"{key}.promptUsdPerMillion", "USD"),
                )


def priced_names_are_served(settings: Settings) -> Iterator[Problem]:
    """A price of a name that nobody serves is a misspelt one."""
    for name in settings.gateway.prices if settings.gateway else ():
        if name not in settings.names_served:
            yield Problem(
                key=below("gateway.prices", name),
                wrong="no model of this stack is served by this name",
                value=name,
                allowed=", ".join(settings.names_served),
                fix=removed("gateway.prices", name),
            )


def fallback_can_be_asked(settings: Settings) -> Iterator[Problem]:
    """Bedrock by the gateway's role, any other provider by a key."""
    gateway = settings.gateway
    fallback = gateway and gateway.fallback
    if not (gateway and fallback):
        return
    by_role, key = fallback.model.startswith(BEDROCK), "gateway.fallback.keySecretArn"
    if by_role and (fallback.key_secret_arn or fallback.url):
        name = "keySecretArn" if fallback.key_secret_arn else "url"
        yield Problem(
            key=f"gateway.fallback.{name}",
            wrong="Amazon Bedrock is asked by the gateway's role, in the stack's region",
            value=fallback.key_secret_arn or fallback.url,
            allowed="unset with a model of bedrock/",
            fix=removed(f"gateway.fallback.{name}"),
        )
    if not by_role and not fallback.key_secret_arn:
        yield Problem(
            key=key,
            wrong=f"{fallback.model.partition('/')[0]} answers nobody without a key",
            value=None,
            allowed="the ARN of a secret whose text is the key, or a model of bedrock/",
            fix=set_to(key, "ARN"),
        )
    if fallback.model in settings.names_served or fallback.model in gateway.models:
        yield Problem(
            key="gateway.fallback.model",
            wrong="is the name of a model that is served here already",
            value=fallback.model,
            allowed="a model of a cloud provider",
            fix=set_to("gateway.fallback.model", "PROVIDER/MODEL"),
        )


def the_cap_can_be_reached(settings: Settings) -> Iterator[Problem]:
    """It counts what the fallback's provider costs: all of it, and nothing else."""
    fallback = settings.gateway and settings.gateway.fallback
    if not fallback:
        return
    if not fallback.prompt_usd_per_million and not fallback.answer_usd_per_million:
        key = "gateway.fallback.answerUsdPerMillion"
        yield Problem(
            key=key,
            wrong="with both prices 0 it costs nothing, and maxUsdPerDay never ends it",
            value=fallback.answer_usd_per_million,
            allowed="above 0, or promptUsdPerMillion above 0",
            fix=set_to(key, "USD"),
        )
    if fallback.model.partition("/")[0] == OWN_PROVIDER:
        yield Problem(
            key="gateway.fallback.model",
            wrong=f"{OWN_PROVIDER} is how own models are asked, which maxUsdPerDay would count and end, too",
            value=fallback.model,
            allowed="openai/NAME with gateway.fallback.url, or gateway.models for a model of another stack",
            fix=set_to("gateway.fallback.model", "PROVIDER/MODEL"),
        )


def it_asks_others_than_itself(settings: Settings) -> Iterator[Problem]:
    """A request to its own name comes back, and goes there again."""
    gateway = settings.gateway
    if gateway is None:
        return
    own = {host: "this stack" for one in settings.each.values() if (host := one.load_balancer.domain_name)}
    own[gateway.host_name] = "this gateway"
    asked = {f"{below('gateway.models', name)}.url": one.url for name, one in gateway.models.items()}
    if gateway.fallback and gateway.fallback.url:
        asked["gateway.fallback.url"] = gateway.fallback.url
    for key, url in asked.items():
        if found := own.get(urlsplit(url).hostname or ""):
            yield Problem(
                key=key,
                wrong=f"is {found} itself",
                value=url,
                allowed="of another stack or provider",
                fix=set_to(key, "URL"),
            )


def keys_are_in_the_region(settings: Settings) -> Iterator[Problem]:
    """Fargate asks Secrets Manager of the stack's region alone."""
    for key, arn in settings.gateway.secret_arns.items() if settings.gateway else ():
        if f":secretsmanager:{settings.region}:" not in arn:
            yield Problem(
                key=key,
                wrong="the secret is in another region than the stack",
                value=arn,
                allowed=f"a secret in {settings.region}",
                fix=f"replicate the secret to {settings.region}, and {set_to(key, 'ARN')}",
            )
