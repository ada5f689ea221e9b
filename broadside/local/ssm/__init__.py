"""Parameter Store, as strict as AWS's own where a publisher meets it; the rest of Systems Manager is moto's."""

from __future__ import annotations

from broadside.local.ec2.cloud import Cloud
from broadside.local.ssm.responses import patch
from broadside.local.ssm.service import ParameterService, Surroundings
from broadside.local.world import World


def install(world: World, cloud: Cloud, surroundings: Surroundings | None = None) -> ParameterService:
    """Let this process's moto check parameters as AWS does; images are looked up in ``cloud``."""
    service = ParameterService(world, cloud, surroundings or Surroundings())
    patch(service)
    return service
