#!/bin/bash
# Builds the Lambda layer with GnuPG: infra/gpg-layer/build.sh OUTPUT.zip
#
# Lambda's images have no gpg.  This takes the programs and the libraries that they need, libc and its loader included, from
# Debian's packages (checked by apt against Debian's keys), and sets the programs on the loader and libraries of the layer,
# so that the image's own libc does not matter.  Needs a Debian or Ubuntu machine of the functions' architecture with
# apt-get and dpkg-deb; nothing is installed on it.  The same packages give the same zip, byte for byte.
set -euo pipefail

[[ $# -eq 1 ]] || { echo "usage: $0 OUTPUT.zip" >&2; exit 2; }
for tool in apt-get apt-cache dpkg-deb python3; do
    command -v "$tool" >/dev/null || { echo "$0: $tool is missing: run this on a Debian or Ubuntu machine." >&2; exit 1; }
done
[[ $(uname -m) == x86_64 ]] || { echo "$0: the functions run on x86_64: run this on such a machine." >&2; exit 1; }

output=$(realpath -m "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/debs" "$work/root" "$work/tools" "$work/layer/bin" "$work/layer/gnupg/"{bin,lib}
gnupg=$work/layer/gnupg

echo "Fetching GnuPG and its libraries ..." >&2
# The libraries behind the programs' packages; not what else those ask for, a dialog for passphrases above all.
packages=()
take_packages() {
    local name depends
    for name in "$@"; do
        [[ " ${packages[*]-} " == *" $name "* ]] && continue
        packages+=("$name")
        mapfile -t depends < <(apt-cache depends --important "$name" | sed -n 's/^ *|\?Depends: //p' | grep -E '^z?lib')
        take_packages "${depends[@]}"
    done
}
take_packages gpg gpg-agent gpgconf
(cd "$work/debs" && apt-get download -qq -o APT::Sandbox::User=root "${packages[@]}" patchelf)
for deb in "$work"/debs/*.deb; do
    case $deb in
        */patchelf_*) dpkg-deb -x "$deb" "$work/tools" ;;
        *) dpkg-deb -x "$deb" "$work/root" ;;
    esac
done
patchelf=$work/tools/usr/bin/patchelf

# A program's libraries, and theirs.
take_libraries() {
    local name found
    for name in $("$patchelf" --print-needed "$1"); do
        [[ -e $gnupg/lib/$name ]] && continue
        found=$(find "$work/root" -path "*/x86_64-linux-gnu/$name" -print -quit)
        [[ -n $found ]] || found=$(find "$work/root" -name "$name" -print -quit)
        [[ -n $found ]] || { echo "$0: no package brings $name, which $1 needs." >&2; exit 1; }
        cp -L "$found" "$gnupg/lib/$name"
        take_libraries "$gnupg/lib/$name"
    done
}

loader=ld-linux-x86-64.so.2
for program in gpg gpg-agent gpgconf gpg-connect-agent; do # gpgconf --kill goes through the last
    cp "$work/root/usr/bin/$program" "$gnupg/bin/"
    take_libraries "$gnupg/bin/$program"
    # The old kind of rpath comes before LD_LIBRARY_PATH, which Lambda sets to its own libraries.
    "$patchelf" --set-interpreter "/opt/gnupg/lib/$loader" --force-rpath --set-rpath /opt/gnupg/lib "$gnupg/bin/$program"
    ln -s "../gnupg/bin/$program" "$work/layer/bin/$program"
done
# GnuPG looks for its other programs below this folder instead of /usr.
echo "rootdir = /opt/gnupg" >"$gnupg/bin/gpgconf.ctl"
chmod 755 "$gnupg"/bin/gpg* "$gnupg/lib/$loader"
chmod 644 "$gnupg/bin/gpgconf.ctl"
mkdir -p "$gnupg/doc"
for package in "$work"/root/usr/share/doc/*/copyright; do # their licences ask for this
    cp -L "$package" "$gnupg/doc/$(basename "$(dirname "$package")")" 2>/dev/null || true
done

mkdir -p "$(dirname "$output")"
python3 - "$work/layer" "$output" <<'PYTHON'
"""Zip a folder with its links and modes, sorted and with one fixed date."""
import os, sys, zipfile
from pathlib import Path

folder, output = Path(sys.argv[1]), sys.argv[2]
with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        entry = zipfile.ZipInfo(str(path.relative_to(folder)), date_time=(1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = path.lstat().st_mode << 16
        archive.writestr(entry, os.readlink(path) if path.is_symlink() else path.read_bytes())
PYTHON
echo "$output: $(du -h "$output" | cut -f1)" >&2
