#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: copies that the target makes (EXTENDED COPY by sg_xcopy, ROD tokens by sg_raw), sent
# through the kernel to volumes on XFS and on ext4. Also where the file system could let both share
# their storage (XFS), each has its own afterwards: a block that is mapped must take a write when no
# space is left, and what SANITIZE overwrites must not lie somewhere else as well.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly lun_bytes=$((64 << 20)) mib=2048 # blocks of 512 bytes

# Of BLOCKS at LBA, how many lie in extents that belong to more than one file or place (bit 2000h).
shared_blocks() { # VOLUME LBA BLOCKS
  sync -f "$1"
  xfs_io -r -c "fiemap -v" "$1" | awk -v from="$2" -v blocks="$3" '
    $2 ~ /^\[[0-9]+\.\.[0-9]+\]:$/ && $3 != "hole" {
      split(substr($2, 2), ends, /[.\]]+/)
      first = ends[1] < from ? from : ends[1]
      last = ends[2] < from + blocks - 1 ? ends[2] : from + blocks - 1
      if (first <= last && $NF ~ /^0x[0-9a-f]*[2367abef][0-9a-f][0-9a-f][0-9a-f]$/)
        sum += last - first + 1
    }
    END { print sum + 0 }'
}

used_mib() { # PLACE: to the nearest
  sync -f "$1"
  df -B 1K --output=used "$1" | awk 'NR == 2 { printf "%d\n", $1 / 1024 + 0.5 }'
}

# The 8 MiB at MIB.
sum_of() { # DISK MIB
  dd if="$1" bs=1M skip="$2" count=8 iflag=direct status=none | md5sum
}

generic_of() { # DISK
  echo /dev/"$(ls "/sys/block/$(basename "$1")/device/scsi_generic")"
}

# How many blocks of BLOCKS at LBA are mapped.
mapped_blocks() { # DISK LBA BLOCKS
  thinmirror map --json "$1" | jq "[.extents[] | select(.status == \"mapped\") |
    [([.lba + .blocks, $2 + $3] | min) - ([.lba, $2] | max), 0] | max] | add // 0"
}

write_random() { # DISK MIB-AT MIB
  dd if=/dev/urandom of="$1" bs=1M seek="$2" count="$3" oflag=direct status=none
}

# 8 MiB at LBA 0 of disk a, of which 2 MiB are a hole.
new_disks() { # PLACE SERIAL
  local name
  for name in a b; do
    thinvol create "$1/$name" $lun_bytes >/dev/null
    backstore_create "$name$2" "thin/$1/$name;copy=lab" $lun_bytes
  done
  a=$(loop_create "5001405000000a0$2" "a$2") b=$(loop_create "5001405000000b0$2" "b$2")
  [[ -b $a && -b $b ]] || bail_out "the disks do not come up"
  sg_a=$(generic_of "$a") sg_b=$(generic_of "$b")
  write_random "$a" 0 3 && write_random "$a" 5 3
}

# What copy engines do with tokens: the first 8 MiB of FROM become a token, which is written to TO.
odx_copy() { # FROM TO MIB-AT
  python3 - $(($3 * mib)) $((8 * mib)) <<'EOF'
import struct, sys
lba, blocks = int(sys.argv[1]), int(sys.argv[2])
with open("/run/populate", "wb") as file:  # one range behind 16 bytes
    file.write(struct.pack(">HBxII2xH", 30, 0, 0, 0, 16) + struct.pack(">QI4x", 0, blocks))
with open("/run/range", "wb") as file:
    file.write(struct.pack(">6xHQI4x", 16, lba, blocks))
EOF
  sg_raw --send=32 --infile=/run/populate "$1" 83 10 00 00 00 00 00 00 00 01 00 00 00 20 00 00 &&
    sg_raw --request=550 --outfile=/run/reply "$1" 84 07 00 00 00 01 00 00 00 00 00 00 02 26 00 00 &&
    { printf '\x02\x26' && head -c 14 /dev/zero && tail -c 512 /run/reply && cat /run/range; } \
      >/run/write && [[ $(stat -c %s /run/write) == 552 ]] &&
    sg_raw --send=552 --infile=/run/write "$2" 83 11 00 00 00 00 00 00 00 02 00 00 02 28 00 00
}

# What both commands promise of a copy of a's first 8 MiB.
check_copy() { # NAME DISK MIB-AT
  check_equal "$1: it is the same" "$(sum_of "$a" 0)" "$(sum_of "$2" "$3")"
  check_equal "$1: the hole is a hole there, too" $((6 * mib)) \
    "$(mapped_blocks "$2" $(($3 * mib)) $((8 * mib)))"
}

# All four ways.
copy_each_way() { # NAME
  check "$1: sg_xcopy within a LUN" \
    sg_xcopy if="$sg_a" of="$sg_a" seek=$((16 * mib)) count=$((8 * mib)) bpt=$((8 * mib))
  check_copy "$1: sg_xcopy within a LUN" "$a" 16
  check "$1: sg_xcopy to another LUN" \
    sg_xcopy --on_src if="$sg_a" of="$sg_b" count=$((8 * mib)) bpt=$((8 * mib))
  check_copy "$1: sg_xcopy to another LUN" "$b" 0
  check "$1: a token within a LUN" odx_copy "$sg_a" "$sg_a" 32
  check_copy "$1: a token within a LUN" "$a" 32
  check "$1: a token at another LUN" odx_copy "$sg_a" "$sg_b" 16
  check_copy "$1: a token at another LUN" "$b" 16
}

# A segment with byte offsets: 3000 bytes from byte 5 of block 0 to byte 200 of block 51200.
copy_bytes() { # DISK
  python3 - >/run/segment <<'EOF'
import struct, sys
segment = struct.pack(">BBHHHIQQHH", 0x0A, 0, 28, 0xFFFF, 0xFFFF, 3000, 0, 51200, 5, 200)
sys.stdout.buffer.write(struct.pack(">BB6xII", 0, 3 << 3, len(segment), 0) + segment)
EOF
  sg_raw --send=48 --infile=/run/segment "$1" 83 00 00 00 00 00 00 00 00 00 00 00 00 30 00 00
}
bytes_of() { # DISK AT COUNT
  dd if="$1" bs=4096 iflag=direct,skip_bytes count=2 skip=$(($2 / 4096 * 4096)) status=none |
    tail -c +$(($2 % 4096 + 1)) | head -c "$3" | md5sum
}
check_byte_copy() { # DISK
  local at=$((51200 * 512 + 200)) before after
  write_random "$1" 25 1
  before=$(bytes_of "$1" $((at - 200)) 200) after=$(bytes_of "$1" $((at + 3000)) 500)
  check "bytes within blocks are copied" copy_bytes "$(generic_of "$1")"
  check_equal "they are the same" "$(bytes_of "$1" 5 3000)" "$(bytes_of "$1" $at 3000)"
  check_equal "the bytes before them stay" "$before" "$(bytes_of "$1" $((at - 200)) 200)"
  check_equal "and those behind them" "$after" "$(bytes_of "$1" $((at + 3000)) 500)"
}

# Takes all that is left of the file system, to the last block.
fill_up() { # PLACE
  fallocate -l "$(df --output=avail -B 1 "$1" | tail -n 1)" "$1/filler" 2>/dev/null
  dd if=/dev/zero of="$1/rest" bs=4K status=none 2>/dev/null
  sync -f "$1"
}

try_xfs() {
  local place=/mnt/xfs before at disk
  section "XFS, which could share"
  head -c 8192 /dev/urandom >$place/one
  check "it can let two files share their storage" cp --reflink=always $place/one $place/two
  new_disks $place 1
  before=$(used_mib $place)
  copy_each_way XFS
  check_equal "nothing of the source's LUN is shared" 0 "$(shared_blocks $place/a 0 $((64 * mib)))"
  check_equal "nor of the other's" 0 "$(shared_blocks $place/b 0 $((64 * mib)))"
  check_equal "the four copies take what they hold" $((before + 24)) "$(used_mib $place)"
  check_byte_copy "$a"
  fill_up $place
  check_fails "no space is left" 1 "space" dd if=/dev/zero of=$place/more bs=64K count=1
  for disk in "$a" "$b"; do
    for at in 0 16; do
      check "mapped blocks of $(basename "$disk") at $at MiB take a write all the same" \
        write_random "$disk" $at 3
    done
  done
  whole=$(sum_of "$b" 0)
  check "the source is unmapped" blkdiscard -o 0 -l 1M "$a"
  check_equal "its copy stays as it was" "$whole" "$(sum_of "$b" 0)"
}

try_ext4() {
  local place=/mnt/ext4 before
  section "ext4, which does not"
  new_disks $place 2
  before=$(used_mib $place)
  copy_each_way ext4
  check_equal "nothing is shared" 0 "$(shared_blocks $place/a 0 $((64 * mib)))"
  check_equal "the four copies take what they hold" $((before + 24)) "$(used_mib $place)"
  check_byte_copy "$a"
}

mkdir -p /mnt/{xfs,ext4}
mkfs.xfs -q -K -m reflink=1 -d size=512m "${LAB_DISKS% *}" && mount "${LAB_DISKS% *}" /mnt/xfs &&
  mkfs.ext4 -q -E nodiscard,lazy_itable_init=1 "${LAB_DISKS#* }" && mount "${LAB_DISKS#* }" /mnt/ext4 ||
  bail_out "no file systems"
if ! { start_kernel_target && start_dbus && start_runner; }; then
  bail_out "the target does not start"
fi
try_xfs
try_ext4
finish_checks
