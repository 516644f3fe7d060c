"""The load balancer's certificate: brought along, validated in Route 53, or self-signed for a test stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_tls as tls
from pulumi_aws import acm, route53

VALID_HOURS = 365 * 24


@dataclass(frozen=True, kw_only=True)
class CertificateArgs:
    """What a certificate needs.

    Attributes:
        domain_name: host name of the API; None makes a self-signed certificate for fallback_name.
        hosted_zone_id: Route 53 zone in which the domain is proven; None with certificate_arn.
        certificate_arn: an existing certificate for domain_name, used as it is.
        fallback_name: host name that a self-signed certificate is made out to.
        further_names: more host names in the same zone, proven in the same way.
        shared_names: names that other stacks' certificates have, too, and the zone of each.
    """

    domain_name: str | None
    hosted_zone_id: str | None
    certificate_arn: str | None
    fallback_name: pulumi.Input[str]
    further_names: Sequence[str] = ()
    shared_names: Mapping[str, str] = field(default_factory=dict)


class Certificate(pulumi.ComponentResource):
    """One certificate in ACM.

    Attributes:
        arn: known once the certificate is valid.
        authority_pem: what clients must trust; None where the public authorities will do.
    """

    def __init__(self, name: str, args: CertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:Certificate", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self.authority_pem: pulumi.Output[str] | None = None
        self.arn: pulumi.Output[str]
        if args.certificate_arn:
            self.arn = pulumi.Output.from_input(args.certificate_arn)
        elif args.domain_name and args.hosted_zone_id:
            own = dict.fromkeys([args.domain_name, *args.further_names], args.hosted_zone_id)
            self.arn = self._validated(name, own, args.shared_names)
        else:
            self.arn = self._self_signed(name, args.fallback_name)
        self.register_outputs({"arn": self.arn})

    def _validated(self, name: str, own: Mapping[str, str], shared: Mapping[str, str]) -> pulumi.Output[str]:
        """A certificate for all the names, each proven in its zone."""
        domain_name, *others = [*own, *shared]
        certificate = acm.Certificate(
            name,
            domain_name=domain_name,
            subject_alternative_names=others or None,
            validation_method="DNS",
            tags={"Name": name},
            opts=self._child,
        )
        records = [
            self._proof(f"{name}-validation" + ("" if host == domain_name else f"-{host}"), certificate, host, zone_id)
            for host, zone_id in {**own, **shared}.items()
        ]
        return acm.CertificateValidation(
            name,
            certificate_arn=certificate.arn,
            validation_record_fqdns=[record.fqdn for record in records],
            opts=self._child,
        ).certificate_arn

    def _proof(self, label: str, certificate: acm.Certificate, host_name: str, hosted_zone_id: str) -> route53.Record:
        """One an account and name: every certificate of that name is renewed by it, so it stays when this one goes."""
        # They come in no order.
        proof = certificate.domain_validation_options.apply(
            lambda options: next(option for option in options if option.domain_name == host_name)
        )
        return route53.Record(
            label,
            zone_id=hosted_zone_id,
            name=proof.resource_record_name.apply(str),
            type=proof.resource_record_type.apply(str),
            records=[proof.resource_record_value.apply(str)],
            ttl=60,
            # The same domain in another region proves itself by the same record.
            allow_overwrite=True,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )

    def _self_signed(self, name: str, host_name: pulumi.Input[str]) -> pulumi.Output[str]:
        key = tls.PrivateKey(name, algorithm="ECDSA", ecdsa_curve="P256", opts=self._child)
        signed = tls.SelfSignedCert(
            name,
            private_key_pem=key.private_key_pem,
            subject={"common_name": "tandem test stack"},
            dns_names=[host_name],
            allowed_uses=["digital_signature", "server_auth"],
            validity_period_hours=VALID_HOURS,
            opts=self._child,
        )
        self.authority_pem = signed.cert_pem
        return acm.Certificate(
            name,
            certificate_body=signed.cert_pem,
            private_key=key.private_key_pem,
            tags={"Name": name},
            opts=self._child,
        ).arn
