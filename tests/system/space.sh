#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: volumes on small file systems that run full, with Linux as the initiator. The threshold
# is told before, ENOSPC when it is too late, and freeing heals. A frozen one stops nothing but
# writes. Then what an initiator changes with
# MODE SELECT, and a LUN that is read-only.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly base=iqn.2026-01.lab.thinmirror
readonly lun_bytes=$((1 << 30))
read -r disk_ext4 disk_xfs <<<"$LAB_DISKS"

make_file_systems() {
  mkdir -p /mnt/{ext4,xfs}
  mkfs.ext4 -q -E nodiscard,lazy_itable_init=1 "$disk_ext4" 160m && mount "$disk_ext4" /mnt/ext4 &&
    mkfs.xfs -q -K -d size=320m "$disk_xfs" && mount "$disk_xfs" /mnt/xfs
}

# Prints the disk of a new LUN.
attach() { # NAME CFG
  backstore_create "$1" "$2" "$lun_bytes" >&2 && target_create "$base:$1" "$1" >&2 &&
    iscsi_login "$base:$1"
}

detach() { # NAME
  iscsi_logout "$base:$1" && target_remove "$base:$1" && backstore_remove "$1"
}

# A parameter of the Logical Block Provisioning log page, as sg_logs decodes it; of those of the
# pool, which the standard does not know, it shows the bytes.
log_parameter() { # DISK CODE
  case $2 in
    0002) sg_logs --page=0xc "$1" | sed -n 's/.*Used LBA mapping.*count: *//p' ;;
    0003) sg_logs --page=0xc "$1" | sed -n 's/.*resource percentage: *\([0-9]*\) %/\1/p' ;;
    *)
      sg_logs --page=0xc --raw "$1" | od -An -v -t x1 | tr -d ' \n' |
        grep -oE "$2"'0308[0-9a-f]{8}' | tail -c 9 | sed 's/^/0x/' | xargs printf '%d\n'
      ;;
  esac
}

check_near() { # NAME EXPECTED ACTUAL MARGIN
  if (($3 >= $2 - $4 && $3 <= $2 + $4)); then
    ok "$1 ($3)"
  else
    not_ok "$1" "expected: $2, more or less" "got:      $3"
  fi
}

check_log_page() { # NAME DISK VOLUME
  local left total
  read -r left total < <(stat -f -c '%f %b' "$3" | awk -v size="$(stat -f -c %S "$3")" \
    '{ printf "%d %d\n", $1 * size / 1048576, $2 * size / 1048576 }')
  check_near "$1: the log page says what the volume takes" \
    $(($(allocated_bytes "$3") >> 20)) "$(log_parameter "$2" 0002)" 1
  check_near "$1: and what the file system has left" "$left" "$(log_parameter "$2" fff1)" 1
  check_near "$1: and has used" $((total - left)) "$(log_parameter "$2" fff2)" 1
  check_near "$1: and the percentage left" $((100 * left / total)) "$(log_parameter "$2" 0003)" 1
}

write_mib() { # DISK FROM COUNT
  dd if=/dev/zero of="$1" bs=1M seek="$2" count="$3" oflag=direct
}

# BELOW MiB stay below the threshold of 75 %, MORE go beyond it, and ALL do not fit.
fill_and_free() { # NAME VOLUME BELOW MORE ALL
  local name=$1 volume=$2 disk
  section "$name"
  check "$name: a volume" thinvol create "$volume" "$lun_bytes"
  disk=$(attach "$name" "thin/$volume;threshold=75") || {
    not_ok "$name: the LUN appears as a disk" "$(tail -n 5 "$runner_log")"
    return
  }
  dmesg -C
  check "$name: writes below the threshold" write_mib "$disk" 0 "$3"
  check_log_page "$name" "$disk" "$volume"
  check_equal "$name: no warning yet" 0 "$(dmesg | grep -c 'soft threshold')"
  check "$name: and beyond it" write_mib "$disk" "$3" "$4"
  # The handler looks once a second, after a write; the next command is told.
  sleep 1.2
  check "$name: another write" write_mib "$disk" 0 1
  check "$name: and the next, which is told and repeated" write_mib "$disk" 0 1
  check_match "$name: Linux logs the warning" 'thin provisioning soft threshold' "$(dmesg)"
  check_match "$name: tcmu-runner's log has the numbers" 'threshold is reached.* MiB .*left' \
    "$(tail -n 20 "$runner_log")"
  check_fails "$name: a write finds no space" 1 'No space left on device' \
    write_mib "$disk" 0 "$5"
  check_match "$name: it is 7/27/07" 'space allocation failed write protect' "$(dmesg)"
  check "$name: reading goes on" dd if="$disk" of=/dev/null bs=1M count=8 iflag=direct
  check "$name: blkdiscard frees" blkdiscard -o 0 -l $(($3 << 20)) "$disk"
  check "$name: and writes succeed again" write_mib "$disk" 0 8
  check_log_page "$name, healed" "$disk" "$volume"
  check "$name: the LUN goes away" detach "$name"
}

# A MODE SELECT(6) of the control page with these bytes 2 and 4.
select_control() { # DISK BYTE2 BYTE4
  printf '%b' "\\0\\0\\0\\0\\x0a\\x0a\\x$2\\x10\\x$3\\0\\0\\0\\xff\\xff\\0\\0" |
    sg_raw --send=16 "$1" 15 10 00 00 10 00
}

sense_of_a_bad_read() { # DISK
  sg_raw --request=512 "$1" 88 00 00 00 00 ff 00 00 00 00 00 00 00 01 00 00 2>&1
}

cache_type() { # DISK
  cat "/sys/block/${1#/dev/}"/device/scsi_disk/*/cache_type
}

mode_pages() {
  local name="mode pages" volume=/mnt/ext4/mode disk
  section "$name"
  rm -f /mnt/ext4/full*
  check "$name: a volume" thinvol create "$volume" "$lun_bytes"
  disk=$(attach mode "thin/$volume")
  check_match "$name: sense data are in fixed format" 'Fixed format' \
    "$(sense_of_a_bad_read "$disk")"
  check "$name: D_SENSE is set" select_control "$disk" 06 00
  check_match "$name: sense data are in descriptor format" \
    'Descriptor format.*Logical block address out of range|Descriptor format' \
    "$(sense_of_a_bad_read "$disk")"
  check "$name: SWP is set" select_control "$disk" 02 08
  check_fails "$name: then nothing is written" 1 . write_mib "$disk" 0 1
  check_match "$name: which is told" 'software write protected' "$(dmesg)"
  check "$name: SWP is reset" select_control "$disk" 02 00
  check "$name: and writing goes on" write_mib "$disk" 0 1
  check_equal "$name: Linux sees the write cache" 'write back' "$(cache_type "$disk")"
  echo 'write through' >"$(echo "/sys/block/${disk#/dev/}"/device/scsi_disk/*/cache_type)"
  check_equal "$name: and switches it off" 'write through' "$(cache_type "$disk")"
  check_match "$name: which is saved" '"mode_pages": "01' "$(cat "$volume.thin")"
  check "$name: the LUN goes away" detach mode
  disk=$(attach mode "thin/$volume")
  check_equal "$name: and is without a write cache when it comes back" 'write through' \
    "$(cache_type "$disk")"
  check "$name: writes succeed" write_mib "$disk" 0 4
  show "$disk"
  check "$name: the LUN goes away again" detach mode
  disk=$(attach mode "thin/$volume;ro")
  check_equal "read-only: Linux sees it" 1 "$(cat "/sys/block/${disk#/dev/}/ro")"
  check_match "read-only: a write is refused" 'Write protected' \
    "$(printf '%0512d' 0 | sg_raw --readonly --send=512 "$disk" 2a 00 00 00 00 00 00 00 01 00 2>&1)"
  check "read-only: the LUN goes away" detach mode
}

# What sg3_utils make of it.
show() { # DISK
  check_match "sg_modes shows the provisioning page" 'dc 02 00 24 01' \
    "$(sg_modes --page=0x1c,2 "$1")"
  check_match "sg_logs lists the provisioning page" 'Logical block provisioning' "$(sg_logs "$1")"
  check_match "sg_logs shows what is available" 'Available LBA mapping threshold|Available LBA mapping resource' \
    "$(sg_logs --page=0xc "$1")"
  check_match "sg_vpd shows the extended inquiry page" 'V_SUP=1' "$(sg_vpd --page=ei "$1")"
  check_match "sg_vpd shows the threshold exponent" 'Threshold exponent: 11' \
    "$(sg_vpd --page=lbpv "$1")"
  check_match "sg_opcodes shows task management" 'Logical unit reset' "$(sg_opcodes --tmf "$1")"
  check_match "sg_opcodes shows MODE SELECT" 'Mode select\(6\)' "$(sg_opcodes "$1")"
}

# Tells whether a frozen file system holds up anything but writes.
frozen() { # NAME MOUNT-POINT
  local disk pid
  thinvol create "$2/frozen" "$lun_bytes" >/dev/null
  disk=$(attach "frozen-$1" "thin/$2/frozen")
  check "frozen $1: blocks are written" dd if=/dev/urandom of="$disk" bs=4k count=16 oflag=direct
  check "frozen $1: it is frozen" fsfreeze --freeze "$2"
  dd if=/dev/zero of="$disk" bs=4k count=1 seek=100 oflag=direct status=none &
  pid=$!
  sleep 1
  check "frozen $1: blocks in memory are read" \
    timeout 10 dd if="$disk" of=/dev/null bs=4k count=16 iflag=direct
  check "frozen $1: while a write waits" kill -0 "$pid"
  check "frozen $1: it is thawed" fsfreeze --unfreeze "$2"
  check "frozen $1: the write is done then" wait_for 30 not kill -0 "$pid"
  check "frozen $1: the LUN goes away" detach "frozen-$1"
  rm -f "$2/frozen" "$2/frozen.thin"
}

check "file systems for the volumes" make_file_systems
start_stack
frozen ext4 /mnt/ext4
frozen xfs /mnt/xfs
fill_and_free ext4 /mnt/ext4/full 60 60 160
# Others use the file system too.
check "half of the other file system is somebody's" fallocate -l 150M /mnt/xfs/other
fill_and_free xfs /mnt/xfs/full 15 40 200
mode_pages
finish_checks
