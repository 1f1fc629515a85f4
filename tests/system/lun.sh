#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: a thin LUN under the real tcmu-runner, through tcm_loop and through iSCSI, with blocks
# of 512 and 4096 bytes, its volume on ext4, xfs and tmpfs. What GET LBA STATUS says must be what
# the file system says of the volume. Then resizing, and a file system that runs full.
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly lun_bytes=$((256 << 20))
read -r disk_ext4 disk_xfs <<<"$LAB_DISKS"
serial=0

make_file_systems() {
  mkdir -p /mnt/{ext4,xfs,tmpfs,small,lun}
  mkfs.ext4 -q -E nodiscard,lazy_itable_init=1 "$disk_ext4" && mount "$disk_ext4" /mnt/ext4 &&
    mkfs.xfs -q -K "$disk_xfs" && mount "$disk_xfs" /mnt/xfs &&
    mount -t tmpfs -o size=1g tmpfs /mnt/tmpfs &&
    mount -t tmpfs -o size=32m tmpfs /mnt/small
}

# Prints the disk of a new LUN over VOLUME; lun_detach takes it away again.
lun_attach() { # TRANSPORT NAME VOLUME BLOCK_SIZE
  thin_create "$2" "$3" "$lun_bytes" "$4" >&2 || return 1
  if [[ $1 == iscsi ]]; then
    target_create "iqn.2026-01.lab.thinmirror:$2" "$2" >&2 &&
      iscsi_login "iqn.2026-01.lab.thinmirror:$2"
  else
    loop_create "$(loop_id "$2")" "$2"
  fi
}

lun_detach() { # TRANSPORT NAME
  if [[ $1 == iscsi ]]; then
    iscsi_logout "iqn.2026-01.lab.thinmirror:$2" && target_remove "iqn.2026-01.lab.thinmirror:$2"
  else
    loop_remove "$(loop_id "$2")"
  fi && backstore_remove "$2"
}

loop_id() { # NAME
  printf '50014050%08x\n' $((16#$(md5sum <<<"$1" | cut -c 1-7)))
}

# Where the file system keeps storage for FILE: lines of "BYTE 0" where it begins, "BYTE 1" where a
# hole begins. Extents that are reserved and not written are storage. tmpfs has none of those, and
# only SEEK_DATA to ask with.
file_extents() { # FILE
  local listed
  if listed=$(xfs_io -r -c "fiemap -v" "$1" 2>/dev/null); then
    sed -nE 's/.*\[([0-9]+)\.\.[0-9]+\]: +(hole|[0-9]+\.\.[0-9]+) +[0-9]+( +(0x[0-9a-f]+))?.*/\1 \2 \4/p' \
      <<<"$listed" |
      # FIEMAP_EXTENT_UNWRITTEN is 0x800.
      awk '{ printf "%d %d\n", $1 * 512, $2 == "hole" ? 1 : $3 ~ /[89a-f]..$/ ? 2 : 0 }'
  else
    xfs_io -r -c "seek -a -r 0" "$1" | awk '/^(DATA|HOLE)/ { print $2, $1 == "HOLE" }'
  fi
}

# The same in blocks: lines of "LBA BLOCKS STATUS" like lba_status.
file_map() { # FILE BLOCK_SIZE
  local size
  size=$(stat -c %s "$1")
  file_extents "$1" | awk -v size="$size" -v block="$2" '
    function flush(to) { if (seen) print from / block, (to - from) / block, what }
    $1 >= size { next }
    seen && $2 == what { next }
    { flush($1); from = $1; what = $2; seen = 1 }
    END { flush(size) }'
}

backed_bytes() { # BLOCK_SIZE, with a map on standard input
  awk -v block="$1" '$3 != 1 { sum += $2 } END { printf "%d\n", sum * block }'
}

check_truth() { # NAME DISK VOLUME BLOCK_SIZE
  local told mapped allocated
  sync "$3"
  told=$(lba_status "$2")
  check_equal "$1: GET LBA STATUS says what the file system says" "$(file_map "$3" "$4")" "$told"
  mapped=$(backed_bytes "$4" <<<"$told")
  allocated=$(allocated_bytes "$3")
  # The file system's own blocks for the file's map come on top.
  if ((allocated >= mapped && allocated <= mapped + (256 << 10))); then
    ok "$1: storage taken ($allocated) is what is mapped or anchored ($mapped)"
  else
    not_ok "$1: storage taken is what is mapped or anchored" "allocated $allocated" "mapped    $mapped"
  fi
}

use_file_system() { # NAME DISK VOLUME
  local sum before after
  check "$1: mkfs.ext4" mkfs.ext4 -q "$2"
  check "$1: mount" mount "$2" /mnt/lun
  mkdir /mnt/lun/keep /mnt/lun/drop
  dd if=/dev/urandom of=/mnt/lun/keep/data bs=1M count=6 status=none
  dd if=/dev/urandom of=/mnt/lun/drop/data bs=1M count=16 status=none
  sync
  sum=$(md5sum </mnt/lun/keep/data)
  before=$(allocated_bytes "$3")
  rm -r /mnt/lun/drop
  sync
  check "$1: fstrim" fstrim /mnt/lun
  after=$(allocated_bytes "$3")
  if ((before - after >= 15 << 20)); then
    ok "$1: fstrim gave back $((before - after)) bytes"
  else
    not_ok "$1: fstrim gives back what was deleted" "before $before" "after $after"
  fi
  umount /mnt/lun
  echo 1 >/proc/sys/vm/drop_caches
  check "$1: the file system is clean" e2fsck -fn "$2"
  check "$1: mount again, read-only" mount -o ro "$2" /mnt/lun
  check_equal "$1: the file kept is whole" "$sum" "$(md5sum </mnt/lun/keep/data)"
  umount /mnt/lun
}

one_combination() { # FILE_SYSTEM BLOCK_SIZE TRANSPORT
  local name="$1/$2/$3" volume disk id
  serial=$((serial + 1))
  id=lun$serial
  volume=/mnt/$1/$id
  section "$name"
  if ! disk=$(lun_attach "$3" "$id" "$volume" "$2"); then
    not_ok "$name: the LUN appears as a disk" "$(tail -n 5 "$runner_log")"
    return
  fi
  ok "$name: the LUN appears as a disk"
  check_equal "$name: block size and size" "$2 $lun_bytes" \
    "$(blockdev --getss "$disk") $(blockdev --getsize64 "$disk")"
  check_equal "$name: a new volume is one deallocated extent" \
    "0 $((lun_bytes / $2)) 1" "$(lba_status "$disk")"
  use_file_system "$name" "$disk" "$volume"
  check_truth "$name" "$disk" "$volume" "$2"
  check "$name: blkdiscard of everything" blkdiscard "$disk"
  check_equal "$name: all is deallocated afterwards" \
    "0 $((lun_bytes / $2)) 1" "$(lba_status "$disk")"
  check "$name: deallocated blocks read as zeros" cmp -n $((64 << 20)) "$disk" /dev/zero
  check "$name: the LUN goes away" lun_detach "$3" "$id"
  check "$name: the volume is in order" thinvol check "$volume"
}

resize_seen() {
  local name="resize" disk volume=/mnt/xfs/resize attribute=$target/core/user_0/resize/attrib/dev_size
  section "$name"
  disk=$(lun_attach iscsi resize "$volume" 512) || {
    not_ok "$name: the LUN appears as a disk"
    return
  }
  dd if=/dev/urandom of="$disk" bs=64k count=1 oflag=direct status=none
  dmesg -C
  echo $((lun_bytes * 2)) >"$attribute"
  check_equal "$name: the next command meets a unit attention 2A/09" 1 \
    "$(sg_turs "$disk" >/dev/null 2>&1; sg_raw "$disk" 00 00 00 00 00 00 >/dev/null 2>&1
    dmesg | grep -c 'Capacity data has changed')"
  echo 1 >"/sys/block/${disk#/dev/}/device/rescan"
  check_equal "$name: the initiator sees the new size" $((lun_bytes * 2)) \
    "$(blockdev --getsize64 "$disk")"
  check "$name: the new end can be written" \
    dd if=/dev/urandom of="$disk" bs=64k count=1 seek=$((lun_bytes * 2 / 65536 - 1)) oflag=direct
  check_fails "$name: shrinking over mapped blocks is refused" 1 . \
    bash -c "echo $lun_bytes >$attribute"
  check_equal "$name: a refused resize changes nothing" $((lun_bytes * 2)) \
    "$(stat -c %s "$volume")"
  check "$name: what is in the way is discarded" blkdiscard -o "$lun_bytes" -l "$lun_bytes" "$disk"
  check "$name: and then it shrinks" bash -c "echo $lun_bytes >$attribute"
  echo 1 >"/sys/block/${disk#/dev/}/device/rescan"
  check_equal "$name: the initiator sees it shrunk" "$lun_bytes" "$(blockdev --getsize64 "$disk")"
  check_fails "$name: thinvol refuses a volume that is served, and names who serves it" 3 \
    'tcmu-runner' thinvol resize "$volume" 1G
  check "$name: the LUN goes away" lun_detach iscsi resize
  check "$name: thinvol resizes it now" thinvol resize "$volume" 1G
  check_equal "$name: to the size asked for" $((1 << 30)) "$(stat -c %s "$volume")"
}

# 256 MiB of LUN on 32 MiB of file system.
full_and_freed() {
  local name="file system full" disk volume=/mnt/small/full
  section "$name"
  disk=$(lun_attach iscsi full "$volume" 512) || {
    not_ok "$name: the LUN appears as a disk"
    return
  }
  dmesg -C
  check_fails "$name: a write fails with ENOSPC" 1 'No space left on device' \
    dd if=/dev/urandom of="$disk" bs=1M count=64 oflag=direct
  check_match "$name: the sense data is 7/27/07" 'space allocation failed write protect' \
    "$(dmesg)"
  check "$name: reads still work" dd if="$disk" of=/dev/null bs=1M count=8 iflag=direct
  check "$name: UNMAP still works" blkdiscard -o 0 -l 16M "$disk"
  check "$name: and then writes work again" \
    dd if=/dev/urandom of="$disk" bs=1M count=8 oflag=direct
  check "$name: the LUN goes away" lun_detach iscsi full
}

check "file systems for the volumes" make_file_systems
start_stack
one_combination ext4 512 loop
one_combination ext4 4096 iscsi
one_combination xfs 512 iscsi
one_combination xfs 4096 loop
one_combination tmpfs 512 loop
one_combination tmpfs 4096 iscsi
resize_seen
full_and_freed
finish_checks
