#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab, over iSCSI with the kernel as the initiator: GET LBA STATUS(32), whose CDB of 32 bytes
# takes an additional header segment of the protocol, and anchored blocks on ext4 and xfs that are
# really full: a write into them finds its space, one beside them does not.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly lun_bytes=$((256 << 20))
read -r disk_ext4 disk_xfs <<<"$LAB_DISKS"

# Small ones, so that they are soon full.
make_file_systems() {
  mkdir -p /mnt/{ext4,xfs}
  mkfs.ext4 -q "$disk_ext4" 320M && mount "$disk_ext4" /mnt/ext4 &&
    mkfs.xfs -q -d size=320M "$disk_xfs" && mount "$disk_xfs" /mnt/xfs
}

status_32() { # DISK LBA REPORT_TYPE [OPTION...]
  local disk=$1 lba=$2 type=$3
  shift 3
  sg_get_lba_status --32 --lba="$lba" --report-type="$type" --maxlen=4096 --brief "$@" "$disk" |
    sed -nE 's/^(0x[0-9a-f]+) +(0x[0-9a-f]+) +([0-9]+).*/\1 \2 \3/p' |
    while read -r first count status; do echo "$((first)) $((count)) $status"; done
}

unmap_anchor() { # DISK LBA BLOCKS
  sg_unmap --anchor --lba="$2" --num="$3" "$1"
}

# Fills the file system up: in large pieces, then in small ones until not one more fits.
fill_up() { # FOLDER
  dd if=/dev/zero of="$1/filling" bs=1M 2>/dev/null
  sync "$1/filling"
  dd if=/dev/zero of="$1/filling2" bs=4k oflag=dsync 2>/dev/null
  [[ $(df --output=avail -B4096 "$1" | tail -n 1) -lt 64 ]]
}

one_file_system() { # NAME
  local name=$1 disk volume=/mnt/$1/volume iqn=iqn.2026-01.lab.thinmirror:$1
  section "$name"
  disk=$(thin_create "$name" "$volume" "$lun_bytes" 512 >&2 && target_create "$iqn" "$name" >&2 &&
    iscsi_login "$iqn") || {
    not_ok "$name: the LUN appears as a disk"
    return
  }
  check_match "$name: ANC_SUP is set" 'ANC_SUP.*: 1' "$(sg_vpd --page=lbpv "$disk" | tr '\n' ' ')"
  check "$name: blocks are written" \
    dd if=/dev/urandom of="$disk" bs=1M count=1 seek=1 oflag=direct
  check "$name: UNMAP anchors 64 MiB" unmap_anchor "$disk" 131072 131072
  check_equal "$name: GET LBA STATUS(32) tells all" \
    $'0 2048 1\n2048 2048 0\n4096 126976 1\n131072 131072 2\n262144 262144 1' \
    "$(status_32 "$disk" 0 0)"
  check_equal "$name: only what is mapped" "2048 2048 3" "$(status_32 "$disk" 0 2)"
  check_equal "$name: only what is anchored" "131072 131072 2" "$(status_32 "$disk" 0 4)"
  check_equal "$name: as far as the scan length" "2048 952 3" \
    "$(status_32 "$disk" 0 2 --scan-len=3000)"
  check "$name: anchored blocks read as zeros" \
    cmp -n $((4 << 20)) /dev/zero <(dd if="$disk" bs=1M skip=64 count=4 iflag=direct status=none)
  check_equal "$name: and stay anchored for it" "131072 131072 2" "$(status_32 "$disk" 0 4)"
  check "$name: the file system is filled" fill_up "/mnt/$name"
  check_fails "$name: a write beside them finds no space" 1 'No space left on device' \
    dd if=/dev/urandom of="$disk" bs=1M count=32 seek=160 oflag=direct
  check "$name: a write into them finds it" \
    dd if=/dev/urandom of="$disk" bs=64k count=1024 seek=1024 oflag=direct conv=fsync
  check_equal "$name: and they are mapped" "131072 131072 3" "$(status_32 "$disk" 131072 2 --scan-len=131072)"
  iscsi_logout "$iqn" && target_remove "$iqn" && backstore_remove "$name"
  rm -f "/mnt/$name"/filling*
}

check "file systems for the volumes" make_file_systems
start_stack
one_file_system ext4
one_file_system xfs
finish_checks
