"""What must hold between settings, and what may surprise. Each rule is a pure function: settings in, problems out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from tandem.errors import Problem, coded
from tandem.rules import (
    adapters,
    arguments,
    batch,
    batches,
    clients,
    cluster,
    cluster_warnings,
    existing_cluster,
    gateway,
    hosts,
    idle,
    names,
    network,
    reserved,
    routing,
    scaling,
    speculation,
    stack,
    tags,
    tasks,
    watching,
)
from tandem.settings.schema import Settings

Rule = Callable[[Settings], Iterator[Problem]]

RULES: tuple[Rule, ...] = (
    stack.timeouts_grow_along_the_chain,
    stack.leaving_outlasts_the_longest_answer,
    stack.client_can_wait_for_the_longest_answer,
    stack.zones_are_in_the_region,
    network.existing_network_is_all,
    network.existing_subnets_fit,
    hosts.region_is_of_the_main_partition,
    stack.domain_can_be_proven,
    names.names_fit,
    names.further_names_are_free,
    names.models_have_priorities_of_their_own,
    names.models_are_asked_for_by_names_of_their_own,
    names.models_have_hosts_of_their_own,
    tags.tags_differ_in_more_than_capitals,
    tags.tags_fit_on_a_health_check,
    stack.global_name_has_a_region_behind_it,
    stack.weights_have_a_source,
    arguments.parsers_are_vllms,
    speculation.guesses_can_be_made,
    routing.caches_can_be_kept_warm,
    adapters.adapters_have_names_of_their_own,
    adapters.adapters_are_adapters,
    adapters.adapters_come_from_the_hub,
    adapters.a_batch_has_no_more_adapters_than_there_are,
    tasks.tokens_are_made,
    tasks.paths_lead_to_models,
    tasks.models_have_paths,
    stack.somebody_can_come,
    stack.a_kept_cache_is_as_it_was,
    stack.one_expiry,
    stack.alerts_reach_someone,
    stack.traces_have_somewhere_to_go,
    watching.alarms_can_call,
    watching.judges_keys_are_in_the_region,
    watching.log_destination_is_in_the_region,
    stack.cap_buys_a_first_token,
    stack.business_hours_are_a_span,
    gateway.the_stack_can_be_reached,
    gateway.tokens_have_prices,
    gateway.priced_names_are_served,
    gateway.fallback_can_be_asked,
    gateway.the_cap_can_be_reached,
    gateway.it_asks_others_than_itself,
    gateway.keys_are_in_the_region,
    clients.a_key_is_one_clients,
    clients.clients_ask_for_what_is_served,
    clients.clients_fit_into_their_secret,
)

OF_GROUPS: tuple[Rule, ...] = (
    hosts.registry_login_is_in_the_region,
    stack.listed_once,
    stack.instance_types_can_serve,
    stack.group_sizes_fit,
    reserved.blocks_hold_what_is_sold_in_them,
    reserved.reserved_hosts_are_alike,
    reserved.reservations_are_each_in_a_zone,
    arguments.arguments_are_free,
    batch.batch_fits_into_a_step,
)
"""What must hold of each group of machines and of the models on it."""

ON: Mapping[str, tuple[Rule, ...]] = {
    "ec2": (
        hosts.network_is_not_dockers,
        hosts.a_rollout_can_be_held,
        idle.idle_stop_can_work,
        scaling.scaling_is_of_hosts,
        scaling.hosts_can_follow,
        watching.workspaces_fit_together,
        cluster.only_on_kubernetes,
    ),
    "eks": (
        tags.tags_fit_on_nodes,
        batch.queue_can_reach_the_autoscaler,
        *cluster.RULES,
        *existing_cluster.RULES,
        *batches.RULES,
    ),
}
"""Likewise, on one platform only."""

WARNINGS_ON: Mapping[str, Callable[[Settings], Iterator[str]]] = {
    "ec2": hosts.warnings,
    "eks": cluster_warnings.warnings,
}
"""What is allowed and may surprise on one platform only."""


def problems(settings: Settings) -> list[Problem]:
    """All that does not hold, in the order of RULES, then group by group; what several groups say alike once.

    A problem's code is the name of its rule.
    """
    found = [problem for rule in RULES for problem in coded(rule.__name__, rule(settings))]
    for name, group in settings.groups.items():
        rules = (*OF_GROUPS, *ON[settings.platform])
        of_group = (problem for rule in rules for problem in coded(rule.__name__, rule(group)))
        found += [problem for one in of_group if (problem := _as_of(settings, name, one)) not in found]
    return found


def _as_of(settings: Settings, name: str, problem: Problem) -> Problem:
    texts = {key: in_words_of(settings, name, getattr(problem, key)) for key in ("key", "wrong", "allowed", "fix")}
    return replace(problem, **texts)


def in_words_of(settings: Settings, name: str, text: str) -> str:
    """What is said of settings that were a model's own (`Settings.of`), by the keys that the model has in the file."""
    if name not in settings.models:
        return text
    own = ["inference", "scaling", "objectives", "canary", *(["fleet"] if settings.models[name].fleet else [])]
    return re.sub(rf"(?<![\w.])(?:{'|'.join(own)})(?=[.\[])", rf"models.{name}.\g<0>", text)


def warnings(settings: Settings) -> list[str]:
    """What is allowed and may surprise."""
    found = []
    if settings.ephemeral and not (settings.cost_guard.expires_after or settings.cost_guard.expires_at):
        found.append("ephemeral is on without costGuard.expiresAfter: nothing stops this stack by itself")
    for warned in (names.warnings, watching.warnings):
        found += warned(settings)
    of_groups = (
        in_words_of(settings, name, text)
        for name, group in settings.groups.items()
        for warned in (reserved.warnings, WARNINGS_ON[settings.platform])
        for text in warned(group)
    )
    return [*found, *dict.fromkeys(of_groups)]
