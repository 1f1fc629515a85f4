#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: what the README's table says of other targets is tried on them: tgt, LIO's fileio and
# tcmu-runner's qcow handler on a raw file, all of Debian 12, beside a thin LUN. A cell that is no
# longer true, ours or theirs, fails.
. "$LAB_REPO/tools/lab/guest/lib.sh"

files=/mnt/peers
readonly lun_bytes=$((64 << 20)) huge_bytes=$((1 << 42)) tgt_port=3261
declare -A disk
readonly peers=(thin tgt fileio qcow)

fileio_create() { # NAME PATH
  local place=$target/core/fileio_0/$1
  mkdir -p "$target/core/fileio_0" && mkdir "$place" &&
    echo -n "fd_dev_name=$2,fd_dev_size=$(stat -c %s "$2"),fd_buffered_io=1" >"$place/control" &&
    echo 1 >"$place/enable" && echo 1 >"$place/attrib/emulate_tpu" &&
    echo 1 >"$place/attrib/emulate_tpws" && echo 32 >"$place/attrib/max_unmap_block_desc_count"
}

tgt() {
  tgtadm -C 7 --lld iscsi "$@"
}

tgt_create() { # NUMBER IQN PATH
  tgt --op new --mode target --tid "$1" -T "$2" &&
    tgt --op new --mode logicalunit --tid "$1" --lun 1 -b "$3" &&
    tgt --op update --mode logicalunit --tid "$1" --lun 1 --params thin_provisioning=1 &&
    tgt --op bind --mode target --tid "$1" -I ALL
}

# The disk of PEER's LUN over FILES/NAME.
attach() { # PEER NAME
  local iqn=iqn.2026-01.lab.thinmirror:$2 path=$files/$2
  case $1 in
    thin) thin_create "$2" "$path" >&2 ;;
    fileio) fileio_create "$2" "$path" >&2 ;;
    qcow) backstore_create "$2" "qcow/$path" "$(stat -c %s "$path")" >&2 ;;
    tgt)
      tgt_create $(($(tgt --op show --mode target | grep -c '^Target') + 1)) "$iqn" "$path" >&2 ||
        return 1
      login_to_tgt "$iqn"
      return
      ;;
  esac || return 1
  target_create "$iqn" "$2" >&2 && iscsi_login "$iqn"
}

# tgt's LUN 0 is its controller: the disk is LUN 1.
login_to_tgt() { # IQN
  local node=(iscsiadm -m node -T "$1" -p "127.0.0.1:$tgt_port") session
  "${node[@]}" -o new >/dev/null && "${node[@]}" --login >/dev/null || return 1
  for session in /sys/class/iscsi_session/session*; do
    [[ $(<"$session/targetname") == "$1" ]] || continue
    wait_for 20 compgen -G "$session/device/target*" || return 1
    disk_at "$(basename "$session"/device/target* | sed 's/^target//'):1"
  done
}

# --- what is asked of each; prints yes or no ---

pattern_of() { # BYTE BLOCKS
  head -c $(($2 * 512)) /dev/zero | tr '\0' "$1"
}

read_blocks() { # DISK LBA BLOCKS
  dd if="$1" bs=512 skip="$2" count="$3" iflag=direct status=none
}

write_pattern() { # DISK BYTE LBA BLOCKS
  pattern_of "$2" "$4" | dd of="$1" bs=4096 seek="$(($3 / 8))" iflag=fullblock oflag=direct status=none
}

holds() { # DISK BYTE LBA BLOCKS
  cmp -s <(read_blocks "$1" "$3" "$4") <(pattern_of "$2" "$4")
}

answer() { # COMMAND...
  if "$@" >/dev/null 2>&1; then echo yes; else echo no; fi
}

# Lines of "LBA BLOCKS".
get_lba_status() { # DISK
  sg_get_lba_status --16 --lba=0 --maxlen=65536 --brief "$1" 2>/dev/null |
    sed -nE 's/^(0x[0-9a-f]+) +(0x[0-9a-f]+) .*/\1 \2/p'
}

answers_get_lba_status() { # DISK
  [[ -n $(get_lba_status "$1") ]]
}

several_descriptors() { # DISK
  write_pattern "$1" A 0 64
  write_pattern "$1" A 8192 64
  (($(get_lba_status "$1" | wc -l) >= 3))
}

# No descriptor is empty, and together they are the LUN.
counts_every_huge_block() { # DISK
  local lba count sum=0
  while read -r lba count; do
    ((count > 0)) && sum=$((sum + count))
  done < <(get_lba_status "$1")
  ((sum * 512 == huge_bytes))
}

# Two ranges, the second behind the end: the first must not be gone when the command fails.
unmaps_all_or_nothing() { # DISK
  write_pattern "$1" B 0 64
  sg_unmap --lba="0,$((lun_bytes / 512))" --num=64,8 --force "$1"
  holds "$1" B 0 64
}

tells_unmap_errors() { # DISK
  ! sg_unmap --lba="$((lun_bytes / 512))" --num=8 --force "$1"
}

looks_at_the_pattern() { # DISK
  sg_write_same --16 --unmap --lba=1024 --num=64 --xferlen=512 --in=<(pattern_of C 1) "$1"
  holds "$1" C 1024 64
}


# A LUN larger than the file system it lies on: the write that finds no space must say so with
# 7/27/07, and what was written before must still be read.
tells_no_space() { # DISK
  local output
  write_pattern "$1" E 0 64
  output=$(sg_dd if=/dev/zero of="$1" bs=512 bpt=2048 seek=64 count=$((lun_bytes / 512 - 64)) \
    blk_sgio=1 oflag=sgio 2>&1)
  grep -qi 'space allocation failed' <<<"$output" && holds "$1" E 0 64
}

# What a READ leaves in the target's buffers must not turn up behind an INQUIRY's reply.
replies_with_its_own_data() { # DISK
  write_pattern "$1" F 0 64
  holds "$1" F 0 64
  sg_raw --request=4096 --outfile=/run/inquiry "$1" 12 00 00 10 00 00 2>/dev/null &&
    ! grep -q FFFFFFFF /run/inquiry
}

# --- the LUNs ---

mkdir -p "$files" "$files-full"
if ! { mkfs.xfs -q -K "${LAB_DISKS% *}" && mount "${LAB_DISKS% *}" "$files"; }; then
  bail_out "no file system"
fi
start_stack
modprobe target_core_file
tgtd -C 7 --iscsi "portal=127.0.0.1:$tgt_port"
check "tgtd answers" wait_for 10 tgt --op show --mode target

# A LUN of every peer: KIND is the file's name behind the peer's.
make_luns() { # KIND BYTES PEER...
  local kind=$1 bytes=$2 peer
  shift 2
  for peer in "$@"; do
    truncate -s "$bytes" "$files/$peer$kind"
    [[ $peer != thin ]] || check "a thin volume" thinvol create --adopt "$files/$peer$kind"
    disk[$peer$kind]=$(attach "$peer" "$peer$kind")
    check "a LUN: $peer$kind" test -b "${disk[$peer$kind]}"
  done
}

# The question's answers, as README's table gives them: yes, no, or - where there is no answer.
row() { # QUESTION KIND FUNCTION PEER=EXPECTED...
  local question=$1 kind=$2 function=$3 peer pair
  shift 3
  for pair in "$@"; do
    peer=${pair%=*}
    check_equal "$question: $peer" "${pair#*=}" "$(answer "$function" "${disk[$peer$kind]}")"
  done
}

make_luns "" "$lun_bytes" "${peers[@]}"
make_luns -huge "$huge_bytes" thin tgt
row "GET LBA STATUS" "" answers_get_lba_status thin=yes tgt=yes fileio=no qcow=no
row "several descriptors in a reply" "" several_descriptors thin=yes tgt=yes
row "extents over 2^32 blocks" -huge counts_every_huge_block thin=yes tgt=no
row "all UNMAP ranges checked first" "" unmaps_all_or_nothing thin=yes tgt=no fileio=no
row "an error in UNMAP" "" tells_unmap_errors thin=yes tgt=yes fileio=yes
row "WRITE SAME with UNMAP looks at the pattern" "" looks_at_the_pattern thin=yes tgt=no fileio=no
row "replies are all the command's own" "" replies_with_its_own_data thin=yes tgt=yes fileio=yes qcow=no

files=$files-full
mount -t tmpfs -o size=24m tmpfs "$files"
make_luns -full "$lun_bytes" thin tgt fileio
row "a full file system" -full tells_no_space thin=yes tgt=no fileio=no
umount -l "$files"
finish_checks
