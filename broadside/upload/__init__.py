"""A builder's side: describe a build, sign it, upload it, its manifest last.

::

    draft = Draft.of(Path("disk.img"), product="com.example.cloud:server:24.04:amd64")
    manifest = draft.manifest()  # hashes the files, checks everything
    signed = clearsign_as_user(text(manifest), key="ABCD...")
    Transfer(s3, bucket).build(manifest, draft.paths, signed)
"""

from __future__ import annotations

from broadside.upload.draft import Draft, text
from broadside.upload.transfer import Receipt, Transfer, published
from chalicelib.openpgp import clearsign_as_user

__all__ = ["Draft", "Receipt", "Transfer", "clearsign_as_user", "published", "text"]
