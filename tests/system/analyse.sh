#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: file systems of a fully provisioned LUN, written by the kernel, filled, deleted from
# and fragmented, are copied by their own tables of contents to a thin LUN; the checker is content
# with the copy, and every file mounted from it is the same. Those that are dirty are copied whole.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"
# shellcheck source=tests/system/analyse_parts.sh
. "$LAB_REPO/tests/system/analyse_parts.sh"

readonly lun_bytes=$((304 << 20)) # the least that mkfs.xfs takes, and a little

same_files() { # NAME TYPE EXPECTED
  check "$1: the copy can be mounted" mount -t "$2" -o ro "$secondary" /mnt/copy
  check_equal "$1: every file of the copy is the same" "$3" "$(sums /mnt/copy)"
  umount /mnt/copy
}

# Everything that is in use is a small part of the LUN.
try() { # NAME TYPE CHECKER MKFS...
  local name=$1 kind=$2 checker=$3 expected
  shift 3
  section "$name"
  check "$name: made" "$@" "$primary"
  check "$name: mounted" mount -t "$kind" "$primary" /mnt/primary || return
  check "$name: filled" fill /mnt/primary
  expected=$(sums /mnt/primary)
  check "$name: unmounted" umount /mnt/primary
  mirror sync --overwrite
  check_equal "$name: sync" "0 []" "$? $(jq -c .notes <<<"$result")"
  check "$name: less than a third of the LUN was copied" \
    jq -e ".written_bytes < $((lun_bytes / 3)) and .written_bytes > 10000000" <<<"$result"
  mirror verify --allocated
  check_equal "$name: verify --allocated, and what the checker says" "0 $checker clean" \
    "$? $(jq -r '.checks[] | .checker + " " + .result' <<<"$result")"
  same_files "$name" "$kind" "$expected"
}

# What is written stays in the log alone.
dirty_xfs() {
  local expected
  section "XFS with a log to be replayed"
  mkfs.xfs -q -f -K "$primary" && mount "$primary" /mnt/primary && fill /mnt/primary
  rm -r /mnt/primary/folder2
  expected=$(sums /mnt/primary)
  check "XFS: shut down with what it did in its log" xfs_io -x -c 'shutdown -f' /mnt/primary
  umount /mnt/primary
  mirror sync --overwrite
  check_equal "XFS: sync" 0 $?
  check_match "XFS: its log is noted" "log" "$(jq -r '.notes[]' <<<"$result")"
  check_equal "XFS: all of it was copied" "$lun_bytes" "$(jq .written_bytes <<<"$result")"
  check "XFS: the copy replays its log" mount "$secondary" /mnt/copy
  umount /mnt/copy
  check "XFS: xfs_repair is content with it" xfs_repair -n "$secondary"
  same_files XFS xfs "$expected"
}

mounted_ext4() {
  local expected
  section "ext4 that is mounted"
  mkfs.ext4 -q -F -E nodiscard "$primary" && mount "$primary" /mnt/primary && fill /mnt/primary
  sync -f /mnt/primary
  expected=$(sums /mnt/primary)
  mirror sync --overwrite
  check_equal "mounted ext4: sync" 0 $?
  check_match "mounted ext4: it is noted" "is mounted.*snapshot" "$(jq -r '.notes[]' <<<"$result")"
  check_match "mounted ext4: its journal is noted" "journal" "$(jq -r '.notes[]' <<<"$result")"
  check "mounted ext4: all of it was copied" jq -e ".written_bytes >= $lun_bytes" <<<"$result"
  check "mounted ext4: the copy replays its journal" mount "$secondary" /mnt/copy
  umount /mnt/copy /mnt/primary
  check "mounted ext4: e2fsck is content with it" e2fsck -fn "$secondary"
  same_files "mounted ext4" ext4 "$expected"
}

mkdir -p /mnt/{files,primary,copy}
mkfs.xfs -q -K "${LAB_DISKS% *}" && mount "${LAB_DISKS% *}" /mnt/files
start_stack
full_create full /mnt/files/full "$lun_bytes" 0f5 && thin_create thin /mnt/files/thin "$lun_bytes"
primary=$(loop_create 5001405000000001 full) || bail_out "no disk"
secondary=$(loop_create 5001405000000002 thin) || bail_out "no disk"
try ext4 ext4 "e2fsck -fn" mkfs.ext4 -q -F -E nodiscard
try "XFS" xfs "xfs_repair -n" mkfs.xfs -q -f -K
try "XFS version 4" xfs "xfs_repair -n" mkfs.xfs -q -f -K -m crc=0
try btrfs btrfs "btrfs check" mkfs.btrfs -q -f -K
try exFAT exfat "fsck.exfat -n" mkfs.exfat
try NTFS ntfs-3g "ntfsfix -n" mkntfs -q -Q -F
dirty_xfs
mounted_ext4
finish_checks
