#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A thin LUN whose configuration names large commands. The kernel notes down 128 blocks (64 KiB) as
# the largest command unless hw_max_sectors says more. Initiators of a thin LUN go by what the LUN
# itself reports, 8 MiB; hw_max_sectors is for whatever else reads the kernel's figure.
# Run as root. The volume is made when it is missing.
set -euo pipefail
if (($# > 0)); then
  echo "usage: $0, with settings in the environment; the top of the file lists them" >&2
  exit 2
fi

# Change these here, or set them in the environment:
: "${VOLUME:=/srv/thin/disk2}"
: "${SIZE:=10G}"
: "${BLOCK_SIZE:=512}"
: "${NAME:=disk2}"
: "${IQN:=iqn.2026-11.org.example:$NAME}"
: "${COMMAND_KIB:=4096}" # the largest command

if [[ ! -e $VOLUME ]]; then
  mkdir -p "$(dirname "$VOLUME")"
  thinvol create --block-size="$BLOCK_SIZE" "$VOLUME" "$SIZE"
fi

# hw_max_sectors counts blocks of BLOCK_SIZE bytes.
targetcli <<EOF || true
/backstores/user:thin create name=$NAME size=$(stat -c %s "$VOLUME") cfgstring=$VOLUME hw_max_sectors=$((COMMAND_KIB * 1024 / BLOCK_SIZE)) control=hw_block_size=$BLOCK_SIZE
/iscsi create $IQN
/iscsi/$IQN/tpg1/luns create /backstores/user:thin/$NAME
/iscsi/$IQN/tpg1 set attribute authentication=0 demo_mode_write_protect=0 generate_node_acls=1 cache_dynamic_acls=1
saveconfig
EOF

# targetcli goes on after a line that failed and then still ends with 0, so its status says little:
# look at what is there.
if [[ ! -d /sys/kernel/config/target/iscsi/$IQN/tpgt_1/lun/lun_0 ]]; then
  echo "The LUN was not made; /var/log/tcmu-runner.log or thindoctor says why." >&2
  exit 1
fi
# The kernel writes persistent reservations down here, and makes no folder for them.
mkdir -p "$(cat /sys/kernel/config/target/dbroot)/pr"
