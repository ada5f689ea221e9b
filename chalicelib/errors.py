"""What can go wrong, as a small tree by whose fault it is.

The message of each error is meant for a person: one sentence that says what is wrong, where, and what to do.  The classes
directly below :class:`BroadsideError` are also the names that the state machines' ``Retry`` and ``Catch`` rules know:
handlers raise nothing else across the Lambda boundary (see :func:`chalicelib.handlers.edge.step`).
"""


class BroadsideError(Exception):
    """Base of all errors that Broadside raises on purpose."""


class BuildRefused(BroadsideError):
    """The builder's fault: the upload is not acceptable as it is.  Final; the builder uploads something better."""


class BadSignature(BuildRefused):
    """The manifest is not one clearsigned text, or not signed by a key that is valid and in the builders' keyring."""


class BadManifest(BuildRefused):
    """The signed text is not a manifest of a schema we know."""


class FileMismatch(BuildRefused):
    """An object that the manifest names has another size or another digest than the manifest says."""


class BadDisk(BuildRefused):
    """A file is not the disk image that it should be: of another format, damaged, or in need of other files."""


class SerialTaken(BuildRefused):
    """The product, stream and serial were recorded before with different content."""


class BadWaves(BroadsideError):
    """The release manager's fault: a wave file that cannot be followed."""


class NotReleasable(BroadsideError):
    """Something stands in the way of a release; the sentence names each obstacle."""


class Claimed(BroadsideError):
    """Somebody else is letting the build out, or taking it back: whoever came first goes on."""


class FileMissing(BroadsideError):
    """An object that the manifest names is not there yet: the build waits for it."""


class CloudError(BroadsideError):
    """The cloud's fault.  ``code`` is AWS's own error code, ``action`` the API call, ``region`` where it was made."""

    def __init__(self, message: str, *, code: str = "", action: str = "", region: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.action = action
        self.region = region


class CloudBusy(CloudError):
    """Worth trying again: throttled, out of reach, an internal error, or not visible yet."""


class CloudSilent(CloudBusy):
    """No answer at all: no connection, or nothing came in time.  What was asked for may have been done all the same."""


class CloudRefused(CloudError):
    """Not worth trying again without somebody's help: not allowed, over a quota, or an invalid request."""


class SetupWrong(BroadsideError):
    """The operator's fault: the installation lacks something (a keyring, a secret, a permission, a setting)."""
