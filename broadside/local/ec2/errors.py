"""EC2's errors, with the codes and in the words of its API.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class Ec2Error(ServiceException):
    """A refusal: ``Ec2Error(code, message)``.  EC2 answers all of ours with HTTP status 400."""


def invalid_value(message: str) -> Ec2Error:
    return Ec2Error("InvalidParameterValue", message)


def bad_combination(message: str) -> Ec2Error:
    return Ec2Error("InvalidParameterCombination", message)


def missing(parameter: str) -> Ec2Error:
    return Ec2Error("MissingParameter", f"The request must contain the parameter {parameter}")


def not_permitted(message: str) -> Ec2Error:
    return Ec2Error("OperationNotPermitted", message)


def limit_exceeded(message: str) -> Ec2Error:
    return Ec2Error("ResourceLimitExceeded", message)


def token_mismatch() -> Ec2Error:
    message = "The client token was used before in a request with other parameters."
    return Ec2Error("IdempotentParameterMismatch", message)


def unknown_image(*image_ids: str) -> Ec2Error:
    noun, verb = ("id", "does") if len(image_ids) == 1 else ("ids", "do")
    return Ec2Error("InvalidAMIID.NotFound", f"The image {noun} '[{', '.join(image_ids)}]' {verb} not exist")


def malformed_image_id(image_id: str) -> Ec2Error:
    return Ec2Error("InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")')


def gone_image(image_id: str) -> Ec2Error:
    return Ec2Error("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is no longer available")


def unavailable_image(image_id: str, state: str) -> Ec2Error:
    message = f"The AMI ID '{image_id}' is currently {state} and may not be used for this operation"
    return Ec2Error("InvalidAMIID.Unavailable", message)


def not_your_image(image_id: str) -> Ec2Error:
    return Ec2Error("AuthFailure", f"Not authorized for image:{image_id}")


def unknown_snapshot(snapshot_id: str) -> Ec2Error:
    return Ec2Error("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")


def malformed_snapshot_id(snapshot_id: str) -> Ec2Error:
    return Ec2Error("InvalidSnapshotID.Malformed", f'Invalid id: "{snapshot_id}" (expecting "snap-...")')


def incomplete_snapshot(snapshot_id: str) -> Ec2Error:
    return Ec2Error("IncorrectState", f"Snapshot '{snapshot_id}' is not 'completed'.")


def snapshot_in_use(snapshot_id: str, image_id: str) -> Ec2Error:
    return Ec2Error("InvalidSnapshot.InUse", f"The snapshot {snapshot_id} is currently in use by {image_id}")


def not_your_snapshot(snapshot_id: str) -> Ec2Error:
    return Ec2Error("AuthFailure", f"Not authorized for snapshot:{snapshot_id}")


def bad_mapping(message: str) -> Ec2Error:
    return Ec2Error("InvalidBlockDeviceMapping", message)
