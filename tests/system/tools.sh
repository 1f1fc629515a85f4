#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: the programs that people look at a LUN with, sg3_utils and qemu-img, against thin LUNs
# under the real tcmu-runner. What they print must be what the file system says of the volume.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly bytes=$((64 << 20)) loop_a=5001405000000a01 loop_b=5001405000000b01
readonly iqn=iqn.2026-01.lab.thinmirror:tools

# "LBA BLOCKS" a line of what has data in the volume, as the file system tells it.
data_of() { # VOLUME
  xfs_io -r -c "seek -a -r 0" "$1" | awk '
    $1 == "DATA" { start = $2 }
    $1 == "HOLE" && start != "" { printf "%d %d\n", start / 512, ($2 - start) / 512; start = "" }'
}

# The same as sg_get_lba_status tells it of DISK.
data_by_sg() { # DISK
  lba_status "$1" | awk '$3 == 0 { print $1, $2 }'
}

# The same, taken out of the reply's own bytes: 8 of header, then 16 for each descriptor.
data_by_raw() { # DISK
  local byte
  sg_get_lba_status --16 --raw --maxlen=65536 "$1" | tail -c +9 | od -An -v -tx1 -w16 |
    while read -r -a byte; do
      [[ ${byte[12]} != 00 ]] ||
        echo "$((16#$(printf %s "${byte[@]:0:8}"))) $((16#$(printf %s "${byte[@]:8:4}")))"
    done
}

# The same as thinmirror sees it in the reply of READ BUFFER.
data_by_bitmap() { # DISK|URL
  thinmirror map --source-map=bitmap --json "$1" |
    jq -r '.extents[] | select(.status == "mapped") | "\(.lba) \(.blocks)"'
}

# The generic node of a disk: sg_xcopy does not find it by itself.
generic_of() { # DISK
  echo /dev/"$(ls "/sys/block/$(basename "$1")/device/scsi_generic")"
}

data_by_qemu() { # FILE|URL
  qemu-img map --output=json -f raw "$1" |
    jq -r '.[] | select(.data) | "\(.start / 512) \(.length / 512)"'
}

# The bytes of BLOCKS at LBA.
blocks_of() { # DISK LBA BLOCKS
  dd if="$1" bs=512 skip="$2" count="$3" iflag=direct status=none | md5sum
}

check_map() { # NAME DISK VOLUME
  check_equal "$1" "$(data_of "$3")" "$(data_by_sg "$2")"
}

mkdir -p /mnt/tmpfs
mount -t tmpfs -o size=512m tmpfs /mnt/tmpfs
if ! { start_kernel_target && start_dbus && start_runner; }; then
  bail_out "the target does not start"
fi
for name in a b c; do
  thinvol create /mnt/tmpfs/$name $bytes >/dev/null
done
check "a LUN of a copy group" backstore_create a 'thin//mnt/tmpfs/a;copy=lab' $bytes
check "another" backstore_create b 'thin//mnt/tmpfs/b;copy=lab' $bytes
check "one of no group" backstore_create c 'thin//mnt/tmpfs/c' $bytes
a=$(loop_create $loop_a a)
b=$(loop_create $loop_b b)
c=$(loop_create 5001405000000c01 c)
[[ -b $a && -b $b && -b $c ]] || bail_out "the disks do not come up"

section "writes and maps"
dd if=/dev/urandom of="$a" bs=64K count=16 seek=16 oflag=direct status=none
dd if=/dev/urandom of="$a" bs=64K count=1 seek=512 oflag=direct status=none
check_equal "the data are where they were written" "2048 2048
65536 128" "$(data_of /mnt/tmpfs/a)"
check_map "sg_get_lba_status" "$a" /mnt/tmpfs/a
check_equal "sg_get_lba_status of what is mapped only" "2" \
  "$(sg_get_lba_status -S -b --report-type=2 --maxlen=65536 "$a" | grep -c '^0x')"
check_equal "sg_get_lba_status --raw" "$(data_of /mnt/tmpfs/a)" "$(data_by_raw "$a")"
check_equal "the bitmap by READ BUFFER" "$(data_of /mnt/tmpfs/a)" "$(data_by_bitmap "$(generic_of "$a")")"
check_equal "a READ of 4 MiB" "$(head -c 4M /mnt/tmpfs/a | md5sum)" \
  "$(dd if="$a" bs=4M count=1 iflag=direct status=none | md5sum)"
check "sg_unmap" sg_unmap --lba=2560 --num=512 "$a"
check_map "and the map after it" "$a" /mnt/tmpfs/a
check "sg_write_same --unmap" sg_write_same --16 --unmap --lba=3072 --num=256 --in=/dev/zero "$a"
check_map "and the map after it" "$a" /mnt/tmpfs/a
head -c 512 /dev/urandom >/tmp/block
check "sg_write_same of other data" sg_write_same --16 --lba=8192 --num=64 --in=/tmp/block "$a"
check_equal "it is there" "$(for ((i = 0; i < 64; i++)); do cat /tmp/block; done | md5sum)" \
  "$(blocks_of "$a" 8192 64)"
check_map "and the map after it" "$a" /mnt/tmpfs/a
{ cat /tmp/block && head -c 512 /dev/zero; } >/tmp/compare
check "sg_compare_and_write of what is there" \
  sg_compare_and_write --in=/tmp/compare --lba=8192 --num=1 "$a"
check_fails "and once more, when it no longer is" 14 "miscompare" \
  sg_compare_and_write --in=/tmp/compare --lba=8192 --num=1 "$a"
check "an iSCSI target of it" target_create $iqn a
check_equal "qemu-img map, over iSCSI" "$(data_of /mnt/tmpfs/a)" \
  "$(data_by_qemu "iscsi://127.0.0.1/$iqn/0")"
check "its end" target_remove $iqn
check_equal "qemu-img map, by the file" "$(data_of /mnt/tmpfs/a)" "$(data_by_qemu /mnt/tmpfs/a)"
check_equal "thinmirror map, by SG_IO" "$(data_of /mnt/tmpfs/a)" \
  "$(thinmirror map --json "$a" | jq -r '.extents[] | select(.status == "mapped") | "\(.lba) \(.blocks)"')"

section "sg_xcopy"
sg_a=$(generic_of "$a") sg_b=$(generic_of "$b") sg_c=$(generic_of "$c")
dd if=/dev/urandom of="$b" bs=1M count=8 oflag=direct status=none
check "within a LUN" sg_xcopy if="$sg_a" of="$sg_a" skip=2048 seek=16384 count=2048 bpt=2048
check_equal "it is the same" "$(blocks_of "$a" 2048 2048)" "$(blocks_of "$a" 16384 2048)"
check_map "with the same holes" "$a" /mnt/tmpfs/a
check "to another LUN, sent to the source" \
  sg_xcopy --on_src if="$sg_a" of="$sg_b" skip=2048 seek=4096 count=4096 bpt=4096
check_equal "it is the same" "$(blocks_of "$a" 2048 4096)" "$(blocks_of "$b" 4096 4096)"
check "sent to the destination" \
  sg_xcopy --on_dst if="$sg_a" of="$sg_b" skip=65536 seek=65536 count=256 bpt=256
check_equal "it is the same" "$(blocks_of "$a" 65536 256)" "$(blocks_of "$b" 65536 256)"
check_map "what was a hole there is one here" "$b" /mnt/tmpfs/b
check_fails "a LUN of no group is out of reach" 10 "abort" \
  sg_xcopy --on_src if="$sg_a" of="$sg_c" count=128
check_equal "and holds nothing" "" "$(data_of /mnt/tmpfs/c)"

section "what the LUN says of itself"
for page in 00 80 83 8f b0 b1 b2; do
  check "sg_vpd --page=0x$page" sg_vpd --page=0x$page "$a"
done
check_match "sg_inq knows it for a third-party copier" "3PC=1" "$(sg_inq "$a")"
check_match "sg_vpd reads page 8Fh" "Maximum segment descriptor count: *16" \
  "$(sg_vpd --page=0x8f "$a" | sed 's/^ *//; s/  */ /g')"
opcodes=$(sg_opcodes --no-inquiry "$a")
for command in 'Extended copy' 'Receive copy' 'Get LBA status' 'Unmap' 'Compare and write' 'Write same(16)'; do
  check_match "sg_opcodes lists $command" "${command//[()]/.}" "$opcodes"
done
check "sg_modes" sg_modes -a "$a"
check_match "sg_modes shows the thin provisioning page" "dc 02 00" "$(sg_modes --page=0x1c,2 --hex "$a")"
check "sg_logs" sg_logs -a "$a"
check_match "sg_logs shows the resources" "resource" "$(sg_logs --page=0xc "$a")"
check "sg_turs" sg_turs "$a"
check "sg_readcap" sg_readcap --16 "$a"
finish_checks
