"""What EC2 keeps about images and import tasks.  States follow from the clock: nothing runs in the background."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ImageState = Literal["pending", "available", "failed", "disabled"]

#: Who may launch an image: ("Group", "all"), ("UserId", …), ("OrganizationArn", …) or ("OrganizationalUnitArn", …).
Permission = tuple[str, str]
EVERYBODY: Permission = ("Group", "all")

#: EC2 deprecates a public image so long after its creation, unless its owner does so earlier (two years).
PUBLIC_LIFETIME = 2 * 365 * 24 * 3600


@dataclass(frozen=True)
class Device:
    """One block device mapping: an EBS volume, an instance store volume (``virtual_name``), or none (``no_device``)."""

    name: str
    snapshot_id: str | None = None
    #: GiB; None where there is no EBS volume.
    volume_size: int | None = None
    volume_type: str = "standard"
    delete_on_termination: bool = True
    encrypted: bool = False
    iops: int | None = None
    throughput: int | None = None
    virtual_name: str | None = None
    no_device: bool = False


@dataclass(frozen=True)
class Hardware:
    """What an image says of itself at registration, and what a copy takes over."""

    architecture: str
    virtualization_type: str
    root_device_name: str
    boot_mode: str | None = None
    tpm_support: str | None = None
    imds_support: str | None = None
    uefi_data: str | None = None
    ena_support: bool = False
    sriov_net_support: str | None = None
    kernel_id: str | None = None
    ramdisk_id: str | None = None


@dataclass
class Image:
    """One AMI in one Region.  Times are the cloud's seconds, dates the wall clock's."""

    image_id: str
    owner_id: str
    region: str
    name: str
    hardware: Hardware
    devices: tuple[Device, ...]
    created: float
    #: When it stops being pending.
    ready_at: float
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    #: Why it ends as failed instead of available.
    failure: str = ""
    disabled: bool = False
    permissions: set[Permission] = field(default_factory=set)
    #: The wall clock's second, on the minute.
    deprecate_at: float | None = None
    protection: Literal["disabled", "enabled-without-cooldown", "enabled-with-cooldown"] = "disabled"
    #: The cloud's second until which an image that was protected with a cooldown cannot be deregistered.
    protected_until: float = 0.0
    source_image_id: str | None = None
    source_region: str | None = None

    def state(self, now: float) -> ImageState:
        """The state at ``now``, in the cloud's seconds."""
        if now < self.ready_at:
            return "pending"
        if self.failure:
            return "failed"
        return "disabled" if self.disabled else "available"

    @property
    def public(self) -> bool:
        return EVERYBODY in self.permissions

    def usable_by(self, account_id: str) -> bool:
        """Whether the account sees the image: its own, a public one, or one shared with it by account id."""
        return account_id == self.owner_id or not self.permissions.isdisjoint({EVERYBODY, ("UserId", account_id)})

    @property
    def snapshot_ids(self) -> list[str]:
        return [device.snapshot_id for device in self.devices if device.snapshot_id]

    def deprecation(self, created: float) -> float | None:
        """The wall clock's second of its deprecation, given that of its creation."""
        if not self.public:
            return self.deprecate_at
        latest = created + PUBLIC_LIFETIME
        return latest if self.deprecate_at is None else min(latest, self.deprecate_at)


@dataclass
class ImportTask:
    """One ImportSnapshot: it becomes the snapshot when its time has come, or says why not."""

    task_id: str
    owner_id: str
    region: str
    description: str
    tags: dict[str, str]
    disk_format: str
    bucket: str
    key: str
    #: Bytes of the file that is imported.
    size: int
    ready_at: float
    encrypted: bool = False
    snapshot_id: str | None = None
    failure: str = ""

    def status(self, now: float) -> Literal["active", "completed", "deleted"]:
        """EC2 calls a task that failed ``deleted``."""
        if now < self.ready_at:
            return "active"
        return "deleted" if self.failure else "completed"


#: EC2 deletes a usage report so long after it was made.
REPORT_LIFETIME = 30 * 24 * 3600


@dataclass(frozen=True)
class UsageReport:
    """One CreateImageUsageReport.  Times are the cloud's seconds."""

    report_id: str
    owner_id: str
    region: str
    image_id: str
    image_name: str
    #: The types of resources that it is about.
    kinds: tuple[str, ...]
    #: The accounts that it is about; all when there are none.
    accounts: tuple[str, ...]
    tags: dict[str, str]
    created: float
    ready_at: float
    failure: str = ""

    @property
    def expires_at(self) -> float:
        return self.created + REPORT_LIFETIME

    def state(self, now: float) -> Literal["pending", "available", "error"]:
        if now < self.ready_at:
            return "pending"
        return "error" if self.failure else "available"
