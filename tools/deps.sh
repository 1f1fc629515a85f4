#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The one list of Debian packages this project uses, by purpose.
#
#   tools/deps.sh [--list] PURPOSE...       PURPOSE: build test lab serve demo bench release lint all
#
# Installs what is missing and is silent when nothing is. --list only prints the
# packages of the purposes, one a line. Services are installed but not started.
set -euo pipefail

# The run-time library of clang has the version in its name; newer releases have one name for it.
# shellcheck source=/dev/null
libclang_rt=$(. /etc/os-release 2>/dev/null; [[ ${VERSION_CODENAME:-} == bookworm ]] && echo libclang-rt-14-dev ||
  echo libclang-rt-dev)

declare -A packages=(
  # What CMake needs to build the handler and the programs. libtcmu2 is what the handler links to
  # (Debian has no -dev package for it); the tests are part of the build, so cmocka is, too.
  [build]="cmake ninja-build gcc libc6-dev pkg-config git
    libiscsi-dev libsgutils2-dev liburing-dev libjson-c-dev libisal-dev uuid-dev libkmod-dev libext2fs-dev libblkid-dev
    libnl-3-dev libnl-genl-3-dev libdbus-1-dev libtcmu2 libcmocka-dev"

  # What the tests need on the machine itself. clang with libclang-rt is for libFuzzer and its ASan.
  [test]="clang $libclang_rt tgt qemu-utils libiscsi-bin sg3-utils sdparm
    e2fsprogs xfsprogs btrfs-progs partclone dosfstools mtools exfatprogs ntfs-3g fdisk gdisk hercules util-linux procps python3 jq"

  # The virtual machine, and what runs inside it (it sees this machine's root file system).
  # xz-utils unpacks the kernel, so that the emulated CPU need not.
  [lab]="qemu-system-x86 linux-image-amd64 busybox-static cpio kmod xz-utils
    tcmu-runner libtcmu2 targetcli-fb dbus open-iscsi libiscsi-bin sg3-utils fio jq
    tgt e2fsprogs xfsprogs btrfs-progs dosfstools fdisk util-linux procps iproute2 dmsetup lvm2 mdadm python3"

  # A machine whose own kernel serves the LUNs, as in targetcli-examples/.
  [serve]="tcmu-runner libtcmu2 targetcli-fb dbus open-iscsi sg3-utils kmod"

  # What tools/demo --native shows its copy with.
  [demo]="e2fsprogs jq procps"

  [bench]="tgt libnbd-bin partclone qemu-utils qemu-block-extra libiscsi-bin fio jq util-linux procps e2fsprogs xfsprogs dmsetup"

  # A root of another Debian, for tests/release.
  [release]="debootstrap debian-archive-keyring"

  [lint]="clang-format clang-tidy shellcheck"
)

die() {
  echo "deps.sh: $*" >&2
  exit 1
}

usage() {
  sed -n '6,9s/^# \{0,1\}//p' "$0"
  exit "$1"
}

# Of the packages given, those not installed, one a line. A name dpkg never heard of is missing too.
missing_of() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package}\n' "$@" 2>/dev/null |
    sed -n 's/^.i.* \([^:]*\).*/\1/p') || true
  comm -23 <(printf '%s\n' "$@" | sort -u) <(sort -u <<<"$installed")
}

# Installs with no questions and starts no service: a policy-rc.d of ours says no to that, unless
# the machine has one of its own. With neither systemd nor such a policy a start script could hang.
install_packages() {
  local as_root=()
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || die "not root, and sudo does not work without a password;" \
      "as root run: apt-get install --no-install-recommends $*"
    as_root=(sudo -n)
  fi
  local log
  log=$(mktemp)
  echo "deps.sh: installing $*" >&2
  # shellcheck disable=SC2016 # expands in the inner shell
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l sh -ec '
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      trap "rm -f $policy" EXIT
      printf "#!/bin/sh\nexit 101\n" >"$policy"
      chmod 755 "$policy"
    fi
    apt_get() { apt-get -q -o DPkg::Lock::Timeout=300 "$@"; }
    apt_get update
    apt_get install -y --no-install-recommends \
      -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
  ' sh "$@" >"$log" 2>&1 </dev/null; then
    tail -n 25 "$log" >&2
    die "apt-get failed; its whole output is in $log"
  fi
  rm -f "$log"
}

list_only=false
purposes=()
for arg in "$@"; do
  case $arg in
    --list) list_only=true ;;
    -h | --help) usage 0 ;;
    all) purposes+=("${!packages[@]}") ;;
    *)
      [[ -n ${packages[$arg]:-} ]] || die "unknown purpose '$arg' (known: ${!packages[*]} all)"
      purposes+=("$arg")
      ;;
  esac
done
((${#purposes[@]})) || usage 2 >&2

wanted=()
for purpose in "${purposes[@]}"; do
  read -r -d '' -a list <<<"${packages[$purpose]}" || true
  wanted+=("${list[@]}")
done
mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)

if $list_only; then
  printf '%s\n' "${wanted[@]}"
  exit 0
fi

command -v dpkg-query >/dev/null || die "this is not Debian; the packages are: ${wanted[*]}"
mapfile -t missing < <(missing_of "${wanted[@]}")
((${#missing[@]} == 0)) || install_packages "${missing[@]}"
