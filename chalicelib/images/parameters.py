"""SSM parameters of the type ``aws:ec2:image``: how users name an AMI that they do not want to look up.

Source: "Native parameter support for Amazon Machine Image IDs", Systems Manager user guide.  SSM answers a PutParameter at
once and looks at the AMI afterwards: what it does not like never becomes the value, so that each one is read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chalicelib import aws
from chalicelib.builds.manifest import PLACEHOLDERS, Manifest
from chalicelib.errors import CloudBusy, CloudRefused

#: What stands in the place of the serial in the parameter that always holds the newest AMI.
CURRENT = "current"

DATA_TYPE = "aws:ec2:image"


def names(template: str, manifest: Manifest) -> tuple[str, str]:
    """The names of the serial's own parameter, and of the one for the newest AMI; both empty without a template."""
    fields = {name: getattr(manifest, name).replace(":", "/") for name in PLACEHOLDERS}
    return template.format_map(fields), template.format_map(fields | {"serial": CURRENT})


@dataclass(frozen=True)
class Parameters:
    """The parameters of one Region; new ones get ``tags``."""

    ssm: aws.Client
    tags: Mapping[str, str]

    def value(self, name: str) -> str:
        """What the parameter holds; empty if it is not there."""
        try:
            return str(self.ssm.get_parameter(Name=name)["Parameter"]["Value"])
        except CloudRefused as error:
            if error.code == "ParameterNotFound":
                return ""
            raise

    def put(self, name: str, image_id: str) -> None:
        """Set the parameter, unless it holds the AMI already.

        Tags can be given to a new parameter only, and only without Overwrite.

        Raises:
            CloudBusy: SSM is not to be reached, throttles, or is used in this Region for the first time.
            CloudRefused: the name is not allowed, or there are too many parameters.
        """
        there = self.value(name)
        if there == image_id:
            return
        more = {"Overwrite": True} if there else {"Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()]}
        try:
            self.ssm.put_parameter(Name=name, Value=image_id, Type="String", DataType=DATA_TYPE, **more)
        except CloudRefused as error:
            if error.code == "ParameterAlreadyExists":  # made by somebody else just now: the next look sees it
                raise CloudBusy(str(error), code=error.code, action=error.action, region=error.region) from error
            if "namespace" in str(error):  # what the first use in a Region may be answered
                raise CloudBusy(str(error), code=error.code, action=error.action, region=error.region) from error
            raise

    def expect(self, image_id: str, names: Iterable[str]) -> None:
        """See that the parameters hold the AMI.

        Raises:
            CloudBusy: one does not, or not yet.
        """
        for name in names:
            there = self.value(name)
            if there != image_id:
                raise CloudBusy(
                    f"{self.ssm.region}: the parameter {name} holds {there or 'nothing'} instead of {image_id}: SSM has not "
                    "looked at the AMI yet, or has refused it.",
                    code="NotVisible",
                    region=self.ssm.region,
                )

    def remove(self, name: str, image_id: str) -> None:
        """Delete the parameter if it holds the AMI."""
        if self.value(name) == image_id:
            self.ssm.delete_parameter(Name=name)
