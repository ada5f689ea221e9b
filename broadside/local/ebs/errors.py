"""The errors of the EBS direct APIs, with the reasons and HTTP statuses of their service model.

Source: https://docs.aws.amazon.com/ebs/latest/APIReference/API_Operations_Amazon_Elastic_Block_Store.html
"""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class EbsError(ServiceException):
    """A refusal.  ``Reason`` is the model's own member name, which moto serialises by attribute."""

    status = 400

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.Reason = reason


class ValidationException(EbsError):
    code = "ValidationException"


class ResourceNotFoundException(EbsError):
    code = "ResourceNotFoundException"
    status = 404


class AccessDeniedException(EbsError):
    code = "AccessDeniedException"
    status = 403


class ServiceQuotaExceededException(EbsError):
    code = "ServiceQuotaExceededException"
    status = 402


class ConflictException(EbsError):
    code = "ConflictException"
    status = 409


def invalid(message: str, reason: str = "INVALID_PARAMETER_VALUE") -> ValidationException:
    """A parameter is not acceptable."""
    return ValidationException(message, reason)


def unknown_snapshot(snapshot_id: str) -> ResourceNotFoundException:
    """There is no such snapshot in the Region."""
    return ResourceNotFoundException(f"The snapshot '{snapshot_id}' does not exist.", "SNAPSHOT_NOT_FOUND")
